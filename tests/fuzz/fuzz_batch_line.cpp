// Any bytes as a line of a batch file: either an ApiError with a sentence, or requests that are in range and whose responses are valid JSON.
#include <boost/json.hpp>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "launcher/api/api_error.h"
#include "launcher/api/answer_collector.h"
#include "launcher/api/json_body.h"
#include "launcher/batch/batch_input.h"
#include "launcher/batch/batch_request.h"
#include "runtime/text/chat_template.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace {

namespace json = boost::json;
using namespace terrace;

constexpr int32_t kHiddenSize = 64;

void require(bool holds) {
  if (!holds) std::abort();
}

std::unique_ptr<Tokenizer> make_tiny_tokenizer() {
  const std::string bytes = tiny_bpe("smollm").bytes();
  return make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
}

void check_request(const CompletionRequest& request, const Tokenizer& tokenizer) {
  require(request.num_choices() > 0 && request.prompts.size() == request.prompt_texts.size());
  for (const auto& prompt : request.prompts) {
    require(!prompt.empty());
    for (const int32_t token : prompt) require(token >= 0 && token < tokenizer.vocab_size());
  }
  const Request& base = request.base;
  require(base.max_tokens >= 0 && base.min_tokens >= 0 && base.min_tokens <= base.max_tokens);
  require(base.sampling.temperature >= 0 && base.sampling.top_p >= 0 && base.sampling.top_p <= 1 && base.sampling.top_k >= 0);
  require(base.logprobs.value_or(0) >= 0 && base.logprobs.value_or(0) <= 20);
}

void check_embedding(const EmbeddingRequest& request, const Tokenizer& tokenizer) {
  require(request.num_choices() > 0 && request.dimensions >= 1 && request.dimensions <= kHiddenSize && request.base.pooling && request.base.max_tokens == 0);
  for (const auto& input : request.inputs) {
    require(!input.empty());
    for (const int32_t token : input) require(token >= 0 && token < tokenizer.vocab_size());
  }
}

// Answers every choice with its own prompt's tokens, as a model might.
void check_response(const BatchRequest& request, const Tokenizer& tokenizer) {
  const std::unique_ptr<AnswerCollector> collector = request.make_collector(tokenizer);
  for (int32_t i = 0; i < request.num_choices(); ++i) {
    const std::vector<int32_t> prompt = request.choice(i).prompt;
    for (const bool is_prompt : {true, false}) {
      const auto* completion = std::get_if<CompletionRequest>(&request.body);
      if (completion == nullptr || (is_prompt && !completion->base.prompt_logprobs)) continue;
      for (size_t t = is_prompt ? 1 : 0; t < prompt.size(); ++t) {
        SequenceEvent event;
        event.token = prompt[t];
        event.is_prompt = is_prompt;
        event.top = {{prompt[0], -1.0f}};
        collector->accept(i, event);
      }
    }
    SequenceEvent end;
    end.finish = FinishReason::kLength;
    end.pooled.assign(kHiddenSize, static_cast<float>(prompt[0]));
    collector->accept(i, end);
  }
  require(collector->done());
  json::error_code error;
  json::parse(json::serialize(collector->response("id", request.model(), 0)), error);
  require(!error);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<Tokenizer> tokenizer = make_tiny_tokenizer();
  static const ChatTemplate chat_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ tools }}{# <tool_call> #}{{ x }}", "<|im_start|>", "<|im_end|>");
  CompletionContext context;
  context.tokenizer = tokenizer.get();
  context.chat_template = &chat_template;
  context.max_sequence_tokens = 4096;
  context.hidden_size = kHiddenSize;
  try {
    const json::object line = parse_json_object({reinterpret_cast<const char*>(data), size}, "the line");
    require(!custom_id_of(line).empty());
    const BatchRequest request = read_batch_request(line, context);
    if (const auto* embedding = std::get_if<EmbeddingRequest>(&request.body)) {
      check_embedding(*embedding, *tokenizer);
    } else {
      check_request(std::get<CompletionRequest>(request.body), *tokenizer);
    }
    if (request.num_choices() <= 64) check_response(request, *tokenizer);
  } catch (const ApiError& error) {
    require(error.status() == 400 && std::string_view(error.what()).size() > 5);
    json::error_code json_error;
    json::parse(json::serialize(error.body()), json_error);
    require(!json_error);
  }
  return 0;
}
