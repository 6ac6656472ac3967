// Reads the values of the small tensors (norms, biases, rope factors) of a model file as floats. Pure functions, any thread.
#pragma once

#include <string>
#include <vector>

#include "runtime/model/gguf.h"
#include "runtime/model/shard.h"

namespace terrace {

/// "[49152, 576]", slowest dimension first.
std::string shape_text(const std::vector<int64_t>& shape);

/// The tensor of this name and shape. Error(kModelCorrupt) that names the tensor, the found and the expected shape.
const GgufTensor& get_tensor(const GgufFile& file, std::string_view name, const std::vector<int64_t>& shape);

/// Elements [begin, begin + count) of a tensor of plain floats (F32, F16, BF16), finite; Error(kModelUnsupported) for another dtype.
std::vector<float> read_values(const GgufFile& file, const GgufTensor& tensor, int64_t begin, int64_t count);

/// Error(kModelCorrupt) that names the tensor and row where `rows` x `cols` of a matrix hold a float or a block's scale that is infinite or no
/// number: one flipped bit there would make every answer garbage.
void check_finite(const GgufFile& file, const GgufTensor& tensor, Range rows, Range cols);

}  // namespace terrace
