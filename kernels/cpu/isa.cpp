#include "kernels/cpu/isa.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"scalar", "avx2", "avx512", "vnni", "amx"};
constexpr Isa kHighestBuilt = Isa::kVnni;

}  // namespace

std::string_view isa_name(Isa isa) { return kNames[static_cast<size_t>(isa)]; }

Isa detect_isa() {
  // The builtins also check that the operating system saves the wider registers (XCR0).
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::kScalar;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!avx512) return Isa::kAvx2;
  return __builtin_cpu_supports("avx512vnni") ? Isa::kVnni : Isa::kAvx512;
}

Isa choose_isa(std::string_view cap, Isa offered) {
  if (cap.empty()) return std::min(offered, kHighestBuilt);
  const auto* name = std::find(kNames.begin(), kNames.end(), cap);
  if (name == kNames.end()) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("TERRACE_ISA: unknown level \"{}\"; known: scalar, avx2, avx512, vnni, amx", cap));
  }
  const Isa isa = static_cast<Isa>(name - kNames.begin());
  if (isa > kHighestBuilt) {
    throw Error(ErrorCode::kInvalidValue,
                fmt::format("TERRACE_ISA={}: this build has no {} kernels; its highest level is {}", cap, cap, isa_name(kHighestBuilt)));
  }
  if (isa > offered) {
    throw Error(ErrorCode::kInvalidValue,
                fmt::format("TERRACE_ISA={}: this machine offers {} at most; choose that or a lower level", cap, isa_name(offered)));
  }
  return isa;
}

}  // namespace terrace
