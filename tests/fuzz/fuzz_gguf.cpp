// Any bytes as a model file: the parser, the model config, the tokenizer and the report end in an Error or well, never in a crash.
#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/base/error.h"
#include "runtime/model/inspect.h"
#include "runtime/model/model_config.h"
#include "runtime/model/weight_source.h"
#include "runtime/text/tokenizer.h"

namespace {

/// Error is the answer to a bad file; any other exception is a bug.
void allow_errors(const std::function<void()>& body) {
  try {
    body();
  } catch (const terrace::Error&) {
  }
}

/// Every slice of one of two ranks: in bounds of the file, or refused.
void touch_weights(const terrace::GgufFile& file) {
  const terrace::ModelConfig model = terrace::read_model_config(file);
  if (model.num_layers > 64) return;  // time
  const terrace::Shard shard = terrace::make_shard(model, 0, model.num_q_heads > 1 ? 2 : 1);
  const auto source = terrace::make_gguf_source(file, model, shard);
  for (const terrace::MatrixSlice& slice : terrace::list_slices(model, shard)) {
    const terrace::HostMatrix matrix = source->matrix(slice);
    const std::byte* last = matrix.data + static_cast<size_t>(matrix.rows) * matrix.row_bytes - 1;
    if (*matrix.data == std::byte{1} || *last == std::byte{2}) source->bias(slice);
  }
  source->finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  allow_errors([&] {
    const terrace::GgufFile file = terrace::GgufFile::parse({reinterpret_cast<const std::byte*>(data), size}, "fuzz.gguf");
    allow_errors([&] { touch_weights(file); });
    allow_errors([&] { terrace::inspect_model(file); });
    allow_errors([&] {
      const auto tokenizer = terrace::make_tokenizer(file);
      const std::vector<int32_t> ids = tokenizer->encode("Hello, w\xc3\xb6rld! 123 <|im_end|>\n");
      tokenizer->decode(ids, true);
    });
  });
  return 0;
}
