#include "launcher/api/multipart.h"

#include <gtest/gtest.h>

#include "launcher/api/api_error.h"

namespace terrace {
namespace {

constexpr const char* kType = "multipart/form-data; boundary=\"a b\"";

TEST(MultipartTest, TakesAFormApart) {
  const std::string form =
      "--a b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
      "--a b\r\ncontent-type: x\r\nCONTENT-DISPOSITION: form-data; name=file; filename=\"a \\\"b\\\".jsonl\"\r\n\r\n--a\r\n\r\n{}\r\n\r\n--a b--\r\n";
  const std::vector<FormPart> parts = parse_multipart(kType, form);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].name, "purpose");
  EXPECT_EQ(parts[0].body, "batch");
  EXPECT_EQ(parts[0].filename, std::nullopt);
  EXPECT_EQ(parts[1].name, "file");
  EXPECT_EQ(parts[1].filename, "a \"b\".jsonl");
  EXPECT_EQ(parts[1].body, "--a\r\n\r\n{}\r\n");
}

TEST(MultipartTest, RefusesWhatIsNoForm) {
  for (const char* form : {"", "x", "--a b", "--a b\r\n", "--a b\r\nContent-Disposition: form-data; name=a\r\n\r\nbody", "--a b\r\n\r\n\r\nx\r\n--a b--",
                           "--a b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a b--", "--a bX--", "--a b\r\nname=a\r\n--a b--"}) {
    EXPECT_THROW(parse_multipart(kType, form), ApiError) << form;
  }
  EXPECT_THROW(parse_multipart("multipart/form-data", "--"), ApiError);
  EXPECT_THROW(parse_multipart("multipart/form-data; boundary=", "--"), ApiError);
}

}  // namespace
}  // namespace terrace
