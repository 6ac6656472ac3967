// The backends that the op tests run on: every test of an op takes each of them in turn, so that a backend added here
// is held to the same suite. All of them must yield equal bits among themselves where `bit_equal_to_first` says so.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace terrace {

struct BackendCase {
  std::string name;     // of the test, e.g. "scalar", "avx2_3_threads"
  std::string backend;  // for make_backend()
  BackendOptions options;
  bool bit_equal_to_first = true;
  bool half_products = false;  // multiplies in 16 bits (tensor cores): wider tolerances

  std::unique_ptr<Backend> make() const { return make_backend(backend, options); }
};

/// Those that this build and machine have.
std::vector<BackendCase> backend_cases();

/// The same but for a device's second numerics, which its attention does not know.
std::vector<BackendCase> attention_cases();

/// For messages of gtest.
inline void PrintTo(const BackendCase& backend, std::ostream* stream) { *stream << backend.name; }

class BackendTest : public testing::TestWithParam<BackendCase> {
 protected:
  std::unique_ptr<Backend> backend_ = GetParam().make();
};

inline std::string backend_case_name(const testing::TestParamInfo<BackendCase>& info) { return info.param.name; }

}  // namespace terrace
