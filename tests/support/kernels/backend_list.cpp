#include "tests/support/kernels/backend_list.h"

#include <cstdlib>

#include "kernels/cpu/isa.h"

namespace terrace {

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases = {{"scalar", "cpu", {1, false, "scalar"}}};
  if (detect_isa() >= Isa::kAvx2) {
    for (const int threads : {1, 2, 8}) {
      cases.push_back({"avx2_" + std::to_string(threads) + (threads == 1 ? "_thread" : "_threads"),
                       "cpu",
                       {threads, false, "avx2"}});
    }
  }
  if (detect_isa() >= Isa::kAvx512) cases.push_back({"avx512_1_thread", "cpu", {1, false, "avx512"}});
  // A CUDA device, or the simulator (tests/cudasim), where TERRACE_CUDA_MODULE names its module.
  if (std::getenv("TERRACE_CUDA_MODULE") != nullptr) {
    BackendOptions invariant, fast;
    invariant.numerics = Numerics::kInvariant;
    cases.push_back({"cuda_invariant", "cuda", invariant, false, true});
    cases.push_back({"cuda_fast", "cuda", fast, false, true});
  }
  return cases;
}

std::vector<BackendCase> attention_cases() {
  std::vector<BackendCase> cases = backend_cases();
  std::erase_if(cases, [](const BackendCase& backend) { return backend.name == "cuda_fast"; });
  return cases;
}

}  // namespace terrace
