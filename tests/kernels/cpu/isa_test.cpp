#include "kernels/cpu/isa.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace terrace {
namespace {

std::string message_of(std::string_view cap, Isa offered) {
  try {
    choose_isa(cap, offered);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidValue);
    return error.what();
  }
  return "";
}

TEST(IsaTest, ACapLowersTheLevel) {
  EXPECT_EQ(choose_isa("scalar", Isa::kVnni), Isa::kScalar);
  EXPECT_EQ(choose_isa("avx2", Isa::kVnni), Isa::kAvx2);
  EXPECT_EQ(choose_isa("", Isa::kScalar), Isa::kScalar);
  EXPECT_EQ(choose_isa("", Isa::kAmx), Isa::kAmx);
}

TEST(IsaTest, RefusesALevelAboveTheMachines) {
  EXPECT_EQ(message_of("avx2", Isa::kScalar), "TERRACE_ISA=avx2: this machine offers scalar at most; choose that or a lower level");
}

TEST(IsaTest, RefusesLevelsThatAreUnknown) {
  EXPECT_NE(message_of("sse9", Isa::kAmx).find("unknown level \"sse9\""), std::string::npos);
  EXPECT_NE(message_of("AVX2", Isa::kAmx).find("known: scalar"), std::string::npos);
}

}  // namespace
}  // namespace terrace
