// Reading .ptx files: every kernel of this build, and what is not known.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/cudasim/ptx/library.h"
#include "tests/cudasim/ptx/parser.h"

namespace cudasim::ptx {
namespace {

constexpr std::string_view kHead = ".version 8.0\n.target sm_80\n.address_size 64\n";

std::string entry(std::string_view body) { return fmt::format("{}.visible .entry f(.param .b64 p)\n{{\n.reg .b32 %r<4>;\n.reg .pred %p<2>;\n{}\nret;\n}}\n", kHead, body); }

TEST(PtxLibraryTest, KnowsEveryStatementOfTheBackendsKernels) {
  const std::string build(TERRACE_PTX_FOLDER);
  int folders = 0;
  for (const char* architecture : {"sm_80", "sm_90"}) {
    const std::string folder = build + "/" + architecture;
    if (!std::filesystem::exists(folder) || std::filesystem::is_empty(folder)) continue;
    ++folders;
    Library library(folder);
    EXPECT_EQ(fmt::format("{}", fmt::join(library.unknown_statements(), "\n")), "");
  }
  if (folders == 0) GTEST_SKIP() << "no PTX in " << build << " (no nvcc?)";
}

TEST(PtxLibraryTest, NamesTheLineOfAnUnknownStatement) {
  for (const auto& [statement, part] : {std::pair("wgmma.fence.sync.aligned;", "unknown opcode"), std::pair("add.fancy.s32 %r1, %r2, %r3;", "modifier .fancy"),
                                        std::pair("ld.global.b128 %r1, [%r2];", "no type"), std::pair("mov.u32 %r1, %pm0;", "special register %pm0"),
                                        std::pair("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 %r1, %r1, %r1, %r1;", "only mma.sync.aligned.m16n8k16")}) {
    Library library("some/file.ptx", entry(statement));
    const std::vector<std::string> unknown = library.unknown_statements();
    ASSERT_EQ(unknown.size(), 1u) << statement;
    EXPECT_NE(unknown[0].find("file.ptx:8: "), std::string::npos) << unknown[0];
    EXPECT_NE(unknown[0].find(part), std::string::npos) << unknown[0];
  }
}

TEST(PtxLibraryTest, RefusesWhatItCannotRead) {
  EXPECT_THROW(Library("f.ptx", fmt::format("{}.texture nonsense;\n", kHead)), PtxError);
  EXPECT_THROW(Library("f.ptx", entry(".strange %r1;")).unknown_statements(), PtxError);
  EXPECT_THROW(Library("a folder that is not there"), PtxError);
}

TEST(PtxLibraryTest, LaysOutParametersAsTheDriverDoes) {
  const auto module = parse_outline("f.ptx", fmt::format("{}.visible .entry g(.param .u32 a, .param .u64 b, .param .align 16 .b8 c[20], .param .u8 d) .maxntid 128, 2, 1 {{ ret; }}", kHead));
  const Function& function = *module->functions.at("g");
  EXPECT_EQ(function.params[1]->offset, 8u);
  EXPECT_EQ(function.params[2]->offset, 16u);
  EXPECT_EQ(function.params[3]->offset, 36u);
  EXPECT_EQ(function.param_bytes, 37u);
  EXPECT_EQ(function.max_threads, 256);
}

TEST(PtxLibraryTest, FindsEntriesByName) {
  Library library("f.ptx", entry("@%p1 bra DONE;\nadd.s32 %r1, %r2, 1;\nDONE:"));
  EXPECT_NE(library.find("f"), nullptr);
  EXPECT_EQ(library.find("f"), library.find("f"));
  EXPECT_EQ(library.find("g"), nullptr);
}

}  // namespace
}  // namespace cudasim::ptx
