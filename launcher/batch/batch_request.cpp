#include "launcher/batch/batch_request.h"

#include <boost/json.hpp>

#include "launcher/api/completion_collector.h"
#include "launcher/api/embedding_collector.h"
#include "launcher/api/field_reader.h"

namespace terrace {

const std::string& BatchRequest::model() const {
  return std::visit([](const auto& request) -> const std::string& { return request.model; }, body);
}

int32_t BatchRequest::num_choices() const {
  return std::visit([](const auto& request) { return request.num_choices(); }, body);
}

Request BatchRequest::choice(int32_t index) const {
  return std::visit([index](const auto& request) { return request.choice(index); }, body);
}

const char* BatchRequest::id_prefix() const {
  const auto* completion = std::get_if<CompletionRequest>(&body);
  return completion == nullptr ? "embd" : completion->endpoint == Endpoint::kCompletions ? "cmpl" : "chatcmpl";
}

std::unique_ptr<AnswerCollector> BatchRequest::make_collector(const Tokenizer& tokenizer) const {
  if (const auto* completion = std::get_if<CompletionRequest>(&body)) return std::make_unique<CompletionCollector>(*completion, tokenizer);
  return std::make_unique<EmbeddingCollector>(std::get<EmbeddingRequest>(body));
}

BatchRequest read_batch_request(const boost::json::object& line, const CompletionContext& context) {
  FieldReader fields(line);
  fields.ignore("custom_id");
  if (const auto method = fields.string("method"); method && *method != "POST") fields.fail("method", "\"POST\"");
  const auto endpoint = endpoint_of(fields.string("url").value_or(""));
  if (!endpoint) fields.fail("url", kEndpointUrls);
  const boost::json::value* body = fields.value("body");
  if (body == nullptr || !body->is_object()) fields.fail("body", "an object");
  fields.finish();
  if (*endpoint == Endpoint::kEmbeddings) return {read_embedding_request(body->as_object(), context)};
  return {read_completion_request(*endpoint, body->as_object(), context)};
}

}  // namespace terrace
