#include "launcher/answer.h"

#include <fmt/format.h>

#include <utility>

#include "kernels/base/error.h"

namespace terrace {
namespace {

double rate(size_t count, std::chrono::steady_clock::duration time) {
  const double seconds = std::chrono::duration<double>(time).count();
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

}  // namespace

Answer::Answer(Engine& engine, const Tokenizer* tokenizer, Options options)
    : engine_(engine), tokenizer_(tokenizer), options_(std::move(options)), matcher_(options_.stop) {
  if (tokenizer_ != nullptr) decoder_.emplace(*tokenizer_);
}

void Answer::stream(Request request) {
  num_prompt_ = request.prompt.size();
  const uint64_t computed_before = engine_.stats().prompt_tokens;
  began_ = first_token_ = last_token_ = Clock::now();
  const SequenceId id = engine_.submit(std::move(request));
  while (engine_.busy()) {
    if (ended_by_.empty() && options_.interrupted()) end("interruption");
    if (!ended_by_.empty()) engine_.cancel(id);
    for (const SequenceEvent& event : engine_.step()) take(event);
    if (num_generated_ == 0) options_.on_prefill(engine_.stats().prompt_tokens - computed_before, num_prompt_);
  }
  const std::string rest = decoder_ ? matcher_.push(decoder_->finish()) + matcher_.finish() : "";
  if (!rest.empty()) options_.write(rest);
}

void Answer::take(const SequenceEvent& event) {
  if (event.finish == FinishReason::kError) throw Error(ErrorCode::kInvalidValue, event.error);
  if (!ended_by_.empty()) return;  // what the engine computed before it heard of the end
  if (event.token >= 0) {
    last_token_ = Clock::now();
    if (num_generated_++ == 0) first_token_ = last_token_;
    const std::string text = matcher_.push(text_of(event.token));
    if (!text.empty()) options_.write(text);
    if (matcher_.stopped()) end("a stop string");
  }
  if (event.finish == FinishReason::kStop) end("its end token");
  if (event.finish == FinishReason::kLength) end("the limit of tokens");
}

void Answer::end(std::string why) {
  if (ended_by_.empty()) ended_by_ = std::move(why);
}

std::string Answer::text_of(int32_t token) {
  if (decoder_) return decoder_->push(token);
  return fmt::format("{} ", token);
}

std::string Answer::summary() const {
  // The first token comes with the prompt: a rate is that of those after it.
  const std::string decoding = num_generated_ > 1 ? fmt::format(" ({:.1f} tok/s)", rate(num_generated_ - 1, last_token_ - first_token_)) : "";
  return fmt::format("{} prompt tokens ({:.1f} tok/s), {} generated{}, ended by {}", num_prompt_, rate(num_prompt_, first_token_ - began_), num_generated_,
                     decoding, ended_by_.empty() ? "nothing" : ended_by_);
}

}  // namespace terrace
