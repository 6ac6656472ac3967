#include "kernels/cpu/cpu_page_codec.h"

#include <cstring>
#include <vector>

namespace terrace {

CpuPageCodec::CpuPageCodec(const PageLayout& device, const PageLayout& stored, const RowOps& rows) : device_(device), stored_(stored), rows_(rows) {
  check_stored_format(device, stored);
}

void CpuPageCodec::encode(const std::byte* page, std::byte* stored) const { convert(device_, page, stored_, stored); }

void CpuPageCodec::decode(const std::byte* stored, std::byte* page) const { convert(stored_, stored, device_, page); }

// Quantised keys lie turned (kv_format.h), others don't; the turn is its own inverse.
void CpuPageCodec::convert(const PageLayout& from, const std::byte* source, const PageLayout& to, std::byte* target) const {
  const int32_t dims = from.head_dim;
  std::vector<float> row(static_cast<size_t>(dims));
  const auto convert_row = [&](const PageRows& own, const PageRows& other, bool turns, int layer, int kv_head, int token) {
    const std::byte* begin = source + from.row_offset(own, layer, kv_head, token);
    const std::byte* scale = source + from.scale_offset(own, layer, kv_head, token);
    std::byte* begin_there = target + to.row_offset(other, layer, kv_head, token);
    std::byte* scale_there = target + to.scale_offset(other, layer, kv_head, token);
    if (own.type == other.type) {
      std::memcpy(begin_there, begin, own.row_bytes);
      std::memcpy(scale_there, scale, own.scale_bytes);
      return;
    }
    rows_.load_kv(begin, scale, dims, own.type, row.data());
    if (turns) rows_.rotate_hadamard(row.data(), dims, rotated_dims(dims));
    rows_.store_kv(row.data(), dims, other.type, begin_there, scale_there);
  };
  const bool turns_k = is_rotated_key(from.k.type) != is_rotated_key(to.k.type);
  for (int layer = 0; layer < from.num_layers; ++layer) {
    for (int kv_head = 0; kv_head < from.num_kv_heads; ++kv_head) {
      for (int token = 0; token < from.page_tokens; ++token) {
        convert_row(from.k, to.k, turns_k, layer, kv_head, token);
        convert_row(from.v, to.v, false, layer, kv_head, token);
      }
    }
  }
}

}  // namespace terrace
