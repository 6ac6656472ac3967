#include <gtest/gtest.h>

#include <string>

#include "kernels/backend.h"
#include "kernels/base/error.h"

namespace terrace {
namespace {

TEST(MakeBackendTest, AutoIsTheCpuAndSaysWhatItIs) {
  const auto backend = make_backend("auto", {2, false, "scalar"});
  EXPECT_EQ(backend->describe(), "cpu scalar, 2 threads");
}

TEST(MakeBackendTest, RefusesWhatIsNotInTheBuild) {
  try {
    make_backend("tpu", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidValue);
    EXPECT_NE(std::string(error.what()).find("auto, cpu, cuda"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace terrace
