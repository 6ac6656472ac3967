#include "kernels/cuda/cuda_embedding.h"

#include <algorithm>
#include <vector>

namespace terrace {

CudaEmbedding::CudaEmbedding(CudaDevice& device, const HostMatrix& matrix) : rows_(matrix.rows), cols_(matrix.cols) {
  constexpr size_t kPieceBytes = size_t{4} << 20;
  const DTypeInfo& info = dtype_info(matrix.dtype);
  const int64_t block = info.block_elements;
  const int64_t first = matrix.first_col / block * block;  // a slice may begin inside a super-block
  const int64_t last = (matrix.first_col + matrix.cols + block - 1) / block * block;
  const size_t row_bytes = dtype_bytes(matrix.dtype, last - first);
  memory_ = device.allocate(static_cast<size_t>(matrix.rows) * row_bytes);
  table_ = {matrix.dtype, reinterpret_cast<const uint8_t*>(memory_.data()), static_cast<int64_t>(row_bytes), matrix.first_col - first};

  const std::byte* from = matrix.data + dtype_bytes(matrix.dtype, first);
  if (row_bytes == matrix.row_bytes) {
    device.write(memory_.data(), {from, memory_.bytes()});
    return;
  }
  std::vector<std::byte> piece;
  const auto rows_at_once = static_cast<int64_t>(std::max<size_t>(1, kPieceBytes / row_bytes));
  for (int64_t row = 0; row < matrix.rows; row += rows_at_once) {
    piece.clear();
    for (int64_t i = row; i < std::min(matrix.rows, row + rows_at_once); ++i) {
      const std::byte* begin = from + static_cast<size_t>(i) * matrix.row_bytes;
      piece.insert(piece.end(), begin, begin + row_bytes);
    }
    device.write(memory_.data() + static_cast<size_t>(row) * row_bytes, piece);
  }
}

}  // namespace terrace
