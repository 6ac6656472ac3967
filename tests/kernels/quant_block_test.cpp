#include "kernels/quant_block.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/base/error.h"

namespace terrace {
namespace {

struct GoldenRow {
  DType dtype = DType::kF32;
  std::vector<std::byte> bytes;
  std::vector<float> values;
};

std::string string_field(const std::string& line, const std::string& name) {
  const size_t begin = line.find("\"" + name + "\":\"");
  if (begin == std::string::npos) return "";
  const size_t value = begin + name.size() + 4;
  return line.substr(value, line.find('"', value) - value);
}

/// tests/golden/dequantize.json holds one format a line: the bytes of whole blocks and the values that gguf-py makes of them.
std::vector<GoldenRow> read_golden() {
  std::ifstream file(TERRACE_SOURCE_DIR "/tests/golden/dequantize.json");
  std::vector<GoldenRow> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("{\"dtype\"", 0) != 0) continue;
    GoldenRow row;
    row.dtype = dtype_from_name(string_field(line, "dtype")).value();
    const std::string hex = string_field(line, "hex");
    for (size_t i = 0; i + 1 < hex.size(); i += 2) row.bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    std::istringstream values(line.substr(line.find("\"values\":[") + 10));
    for (std::string value; std::getline(values, value, ',');) row.values.push_back(std::strtof(value.c_str(), nullptr));
    rows.push_back(std::move(row));
  }
  return rows;
}

TEST(QuantBlockTest, DequantizesAsTheReferenceDoes) {
  const std::vector<GoldenRow> rows = read_golden();
  ASSERT_EQ(rows.size(), 11u) << "one row for each dtype";
  for (const GoldenRow& row : rows) {
    SCOPED_TRACE(dtype_info(row.dtype).name);
    ASSERT_EQ(row.bytes.size(), dtype_bytes(row.dtype, static_cast<int64_t>(row.values.size())));
    std::vector<float> out(row.values.size());
    dequantize_row(row.dtype, row.bytes.data(), 0, static_cast<int64_t>(out.size()), out.data());
    EXPECT_EQ(out, row.values);
  }
}

TEST(QuantBlockTest, AColumnRangeIsThePartOfItsRow) {
  for (const GoldenRow& row : read_golden()) {
    const QuantFormat format = quant_format(row.dtype);
    const int64_t group = format.code_bits == 0 ? 1 : format.group_columns;
    const int64_t cols = static_cast<int64_t>(row.values.size());
    for (int64_t first = 0; first < cols; first += group) {
      std::vector<float> out(static_cast<size_t>(group));
      dequantize_row(row.dtype, row.bytes.data(), first, group, out.data());
      const auto begin = row.values.begin() + first;
      EXPECT_EQ(out, std::vector<float>(begin, begin + group)) << dtype_info(row.dtype).name << " at " << first;
    }
  }
}

TEST(QuantBlockTest, PlainFloatsHaveNoGroups) {
  const std::array<std::byte, 64> row = {};
  EXPECT_THROW(read_group(DType::kF16, row.data(), 0), Error);
}

}  // namespace
}  // namespace terrace
