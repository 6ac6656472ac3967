#include "launcher/api/embedding_request.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <utility>

#include "launcher/api/api_error.h"
#include "launcher/api/field_reader.h"
#include "launcher/api/prompt_list.h"

namespace terrace {
namespace {

constexpr size_t kMaxInputs = 2048;  // as OpenAI

std::vector<std::vector<int32_t>> read_inputs(FieldReader& fields, const CompletionContext& context) {
  PromptList list = read_prompts(fields, "input", kMaxInputs, *context.tokenizer);
  for (size_t i = 0; i < list.tokens.size(); ++i) {
    const size_t size = list.tokens[i].size();
    if (size <= static_cast<size_t>(context.max_sequence_tokens)) continue;
    throw ApiError(400, fmt::format("'input' {} is {} tokens long, and at most {} can be computed at once: the model's maximum context length is {} tokens", i, size,
                                    context.max_sequence_tokens, context.max_sequence_tokens),
                   "input", "context_length_exceeded");
  }
  return std::move(list.tokens);
}

Pooling read_pooling(FieldReader& fields, Pooling otherwise) {
  const std::optional<std::string> name = fields.string("pooling");
  if (!name) return otherwise;
  if (*name != "mean" && *name != "last") fields.fail("pooling", R"("mean" or "last")");
  return *name == "mean" ? Pooling::kMean : Pooling::kLast;
}

}  // namespace

Request EmbeddingRequest::choice(int32_t index) const {
  Request request = base;
  request.prompt = inputs.at(static_cast<size_t>(index));
  return request;
}

EmbeddingRequest read_embedding_request(const boost::json::object& body, const CompletionContext& context) {
  FieldReader fields(body);
  EmbeddingRequest request;
  request.model = fields.string("model").value_or("");
  fields.ignore("user");
  request.inputs = read_inputs(fields, context);
  const std::string encoding = fields.string("encoding_format").value_or("float");
  if (encoding != "float" && encoding != "base64") fields.fail("encoding_format", R"("float" or "base64")");
  request.base64 = encoding == "base64";
  request.dimensions = static_cast<int32_t>(fields.integer("dimensions", 1, context.hidden_size).value_or(context.hidden_size));
  request.base.pooling = read_pooling(fields, context.pooling);
  request.base.max_tokens = 0;
  read_cache_fields(fields, request.base);
  if (context.serving) request.queueing = read_queueing(fields);
  fields.finish();
  return request;
}

}  // namespace terrace
