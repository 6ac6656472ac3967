// The body of a /v1/completions or /v1/chat/completions request, read strictly and turned into sequences for the engine.
// Meanings as in OpenAI's API reference and DECISIONS 21-26; extensions (top_k, min_p, repetition_penalty, ignore_eos, min_tokens,
// return_token_ids, cache_salt) as vLLM names them, cache_priority on TensorRT-LLM's scale.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/api/answer_form.h"
#include "launcher/api/common_fields.h"
#include "launcher/api/endpoint.h"
#include "runtime/config.h"
#include "runtime/request.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"

namespace terrace {

struct CompletionRequest {
  Endpoint endpoint = Endpoint::kCompletions;  // or kChatCompletions
  std::string model;
  std::vector<std::vector<int32_t>> prompts;  // token ids; one for chat
  std::vector<std::string> prompt_texts;      // for echo; empty strings for prompts given as ids
  int32_t n = 1;                              // choices per prompt
  Request base;                               // of each choice, but for prompt and sampling.choice
  std::vector<std::string> stop;
  AnswerForm form;
  bool echo = false;
  bool stream = false;         // the answer goes out as it is made
  bool include_usage = false;  // and its last chunk tells the tokens
  bool return_token_ids = false;
  Queueing queueing;

  int32_t num_choices() const { return n * static_cast<int32_t>(prompts.size()); }
  /// The engine's request of choice `index` (prompt index / n), with a state of the grammar of its own.
  Request choice(int32_t index) const;
};

/// What the reader must know beside the body.
struct CompletionContext {
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;  // nullptr: the model carries none
  GrammarCompiler* grammars = nullptr;          // nullptr: an answer that needs one is refused
  SamplingSection defaults;
  int32_t max_sequence_tokens = 0;  // chat's default max_tokens fills the rest of it
  uint64_t default_seed = 0;        // of a request that names none
  int64_t now_unix = 0;             // what chat templates see as the date
  Pooling pooling = Pooling::kMean;  // of embeddings, where the request names none
  int32_t hidden_size = 0;           // of the model: the dimensions of an embedding
  bool serving = false;             // a client waits: it may ask for a stream, a priority, a timeout
};

/// `endpoint`: one of the two. Throws ApiError(400).
CompletionRequest read_completion_request(Endpoint endpoint, const boost::json::object& body, const CompletionContext& context);

}  // namespace terrace
