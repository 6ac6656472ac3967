#include "kernels/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace terrace {

void RopeTable::begin_step(std::span<const int32_t> positions) {
  positions_ = positions;
  for (Table& table : tables_) table.filled = false;
}

void RopeTable::select(const RopeKvArgs& args) {
  const auto same = [&args](const Table& table) {
    return table.attention_factor == args.attention_factor && table.style == args.style && table.window == args.window &&
           table.exact_angles == args.exact_angles &&
           std::equal(table.inverse_frequency.begin(), table.inverse_frequency.end(), args.inverse_frequency.begin(),
                      args.inverse_frequency.end());
  };
  const auto found = std::find_if(tables_.begin(), tables_.end(), same);
  selected_ = static_cast<size_t>(found - tables_.begin());
  if (found == tables_.end()) {
    tables_.push_back({{args.inverse_frequency.begin(), args.inverse_frequency.end()}, args.attention_factor, args.style,
                       args.window, args.exact_angles, false, {}});
  }
  if (!tables_[selected_].filled) fill(tables_[selected_]);
}

void RopeTable::fill(Table& table) const {
  const size_t row = 4 * table.inverse_frequency.size();
  table.values.resize((positions_.size() + 1) * row);
  float* values = table.values.data();
  for (const int32_t position : positions_) {
    fill_row(table, position, values);
    values += row;
  }
  if (table.window.size > 0) fill_row(table, table.window.sinks + table.window.size - 1, values);
  table.filled = true;
}

void RopeTable::fill_row(const Table& table, int32_t position, float* cos) {
  const size_t half = table.inverse_frequency.size();
  float* sin = cos + 2 * half;
  for (size_t i = 0; i < half; ++i) {
    // The angle is rounded to float as transformers does it; its cosine then is exact to the last bit of a float.
    const double exact = static_cast<double>(position) * static_cast<double>(table.inverse_frequency[i]);
    const double angle = table.exact_angles ? exact : static_cast<float>(position) * table.inverse_frequency[i];
    const auto c = static_cast<float>(std::cos(angle)) * table.attention_factor;
    const auto s = static_cast<float>(std::sin(angle)) * table.attention_factor;
    const bool pairs = table.style == RopeStyle::kAdjacentPairs;
    const size_t first = pairs ? 2 * i : i;
    const size_t second = pairs ? 2 * i + 1 : i + half;
    cos[first] = cos[second] = c;
    sin[first] = -s;
    sin[second] = s;
  }
}

RopeTable::Row RopeTable::row(int64_t token) const { return row_at(static_cast<size_t>(token)); }

RopeTable::Row RopeTable::sink_row(int64_t token) const {
  const auto index = static_cast<size_t>(token);
  const int32_t position = positions_[index];
  return row_at(tables_[selected_].window.sink_position(position) == position ? index : positions_.size());
}

RopeTable::Row RopeTable::row_at(size_t index) const {
  const Table& table = tables_[selected_];
  const size_t rotary_dim = 2 * table.inverse_frequency.size();
  const float* cos = table.values.data() + index * 2 * rotary_dim;
  return {cos, cos + rotary_dim};
}

}  // namespace terrace
