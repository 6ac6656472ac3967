// Gathers the events of one completion request's sequences into its response. One per request, one thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "launcher/api/answer_collector.h"
#include "launcher/api/completion_request.h"
#include "launcher/api/tool_calls.h"
#include "runtime/request.h"
#include "runtime/text/stop_matcher.h"
#include "runtime/text/stream_decoder.h"

namespace terrace {

class CompletionCollector final : public AnswerCollector {
 public:
  /// `request` and `tokenizer` outlive the collector.
  CompletionCollector(const CompletionRequest& request, const Tokenizer& tokenizer);

  /// True when the choice met a stop string.
  bool accept(int32_t index, const SequenceEvent& event) override;
  bool done() const override { return num_finished_ == request_.num_choices(); }
  int64_t prompt_tokens() const override;
  int64_t completion_tokens() const override;
  /// Of the prompts' tokens, those that were not computed for this request.
  int64_t cached_tokens() const;
  boost::json::object response(const std::string& id, const std::string& model, int64_t created) const override;
  /// The choices of a stream's next chunk: what each has said since the last call, and its end. Empty while nothing new is certain.
  boost::json::array take_deltas();
  boost::json::object usage() const;

 private:
  struct Choice {
    Choice(StreamDecoder text_decoder, const std::vector<std::string>& stop) : decoder(std::move(text_decoder)), matcher(stop) {}
    void say(std::string_view more) { text += calls ? calls->push(more) : std::string(more); }
    StreamDecoder decoder;
    StopMatcher matcher;
    std::optional<ToolCalls> calls;  // where the answer may have some
    std::string text;                // without them
    std::vector<int32_t> tokens;
    std::vector<SequenceEvent> scored;  // tokens with log-probabilities: prompt's (echo), then output's
    std::vector<size_t> offsets;        // where in the output, in characters, each of `tokens` begins
    size_t num_characters = 0;          // of all tokens so far
    int64_t cached_tokens = 0;          // when its first token came
    FinishReason finish = FinishReason::kNone;
    struct {
      bool opened = false, closed = false;
      size_t text = 0, tokens = 0, scored = 0;
    } sent;  // in chunks of a stream
  };

  void finish(Choice& choice, FinishReason reason);
  StreamDecoder output_decoder() const;
  std::optional<ToolCalls> tool_calls(int32_t index) const;
  std::string prompt_text(size_t prompt_index) const;
  std::vector<size_t> prompt_offsets(size_t prompt_index) const;
  std::string token_string(int32_t token) const;
  boost::json::value logprobs(const Choice& choice, int32_t index, size_t first_scored, size_t first_token) const;
  boost::json::object completion_logprobs(const Choice& choice, int32_t index, size_t first_scored, size_t first_token) const;
  boost::json::object chat_logprobs(const Choice& choice, size_t first_scored) const;
  boost::json::object chat_logprob(int32_t token, float logprob) const;
  static const char* finish_name(const Choice& choice);
  boost::json::object message(const Choice& choice) const;
  boost::json::object choice_object(int32_t index) const;
  boost::json::object delta_object(int32_t index);

  const CompletionRequest& request_;
  const Tokenizer& tokenizer_;
  std::deque<Choice> choices_;
  int32_t num_finished_ = 0;
};

}  // namespace terrace
