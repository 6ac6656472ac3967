#include "kernels/cuda/cuda_selector.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/select_kernels.h"

namespace terrace {
namespace {

/// Larger first; equal ones by token.
bool before(const TokenLogit& a, const TokenLogit& b) { return a.logit != b.logit ? a.logit > b.logit : a.token < b.token; }

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

void CudaSelector::select(MatrixView logits, int count, std::span<TopLogits> out) {
  if (logits.rows == 0) return;
  const int64_t wanted = std::clamp<int64_t>(count, 0, logits.cols);
  const int32_t group_cols = select_group_cols(logits.cols, wanted);
  SelectArgs args;
  args.logits = logits;
  args.count = group_cols == 0 ? 0 : static_cast<int32_t>(wanted);
  args.group_cols = group_cols == 0 ? 128 : group_cols;

  const auto rows = static_cast<size_t>(logits.rows);
  const auto top_count = static_cast<size_t>(args.count);
  const size_t answer_bytes = rows * (sizeof(LogitStats) + top_count * sizeof(DeviceTokenLogit));
  const size_t chunk_bytes = rows * static_cast<size_t>(divide_up(logits.cols, kDeviceSelectChunk)) * sizeof(LogitStats);
  const size_t group_bytes = rows * static_cast<size_t>(divide_up(logits.cols, args.group_cols)) * sizeof(uint32_t);
  const size_t bytes = answer_bytes + chunk_bytes + group_bytes;
  if (scratch_.bytes() < bytes) {
    scratch_ = Buffer();
    scratch_ = device_.allocate(bytes);
  }
  args.stats = reinterpret_cast<LogitStats*>(scratch_.data());
  args.top = reinterpret_cast<DeviceTokenLogit*>(args.stats + rows);
  args.chunks = reinterpret_cast<LogitStats*>(scratch_.data() + answer_bytes);
  args.group_keys = reinterpret_cast<uint32_t*>(scratch_.data() + answer_bytes + chunk_bytes);
  launch_select(args, device_.stream());

  std::vector<std::byte> answer(answer_bytes);
  device_.read(scratch_.data(), answer);
  const auto* stats = reinterpret_cast<const LogitStats*>(answer.data());
  const auto* top = reinterpret_cast<const DeviceTokenLogit*>(stats + rows);
  for (size_t row = 0; row < rows; ++row) {
    out[row].max = stats[row].max;
    out[row].sum_exp = stats[row].sum_exp;
    out[row].top.clear();
    for (size_t i = 0; i < top_count; ++i) {
      const DeviceTokenLogit& entry = top[row * top_count + i];
      if (entry.token >= 0) out[row].top.push_back({entry.token, entry.logit});
    }
  }
  if (group_cols == 0) select_on_host(logits, wanted, out);
}

void CudaSelector::select_on_host(MatrixView logits, int64_t count, std::span<TopLogits> out) {
  std::vector<float> row(static_cast<size_t>(logits.cols));
  for (int64_t i = 0; i < logits.rows; ++i) {
    device_.read(logits.row(i), std::as_writable_bytes(std::span(row)));
    std::vector<TokenLogit>& top = out[static_cast<size_t>(i)].top;
    for (size_t column = 0; column < row.size(); ++column) {
      if (!std::isnan(row[column])) top.push_back({static_cast<int32_t>(column), row[column]});
    }
    const size_t kept = std::min(top.size(), static_cast<size_t>(count));
    std::partial_sort(top.begin(), top.begin() + static_cast<std::ptrdiff_t>(kept), top.end(), before);
    top.resize(kept);
  }
}

}  // namespace terrace
