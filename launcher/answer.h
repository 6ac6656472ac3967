// One sequence of `terrace run` on rank 0: from the engine's events to text on stdout, until an end token, a stop string, the limit or a
// signal; and the figures of it afterwards. Step thread.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "runtime/text/stop_matcher.h"
#include "runtime/text/stream_decoder.h"

namespace terrace {

class Answer {
 public:
  struct Options {
    std::vector<std::string> stop;
    std::function<void(std::string_view)> write;     // text as it becomes certain
    std::function<bool()> interrupted;               // asked between steps; true ends the sequence
    std::function<void(size_t, size_t)> on_prefill;  // (prompt tokens computed, prompt tokens)
  };
  /// `tokenizer` nullptr (a dummy model): the ids are written, a blank after each.
  Answer(Engine& engine, const Tokenizer* tokenizer, Options options);

  /// Runs the request to its end; call once. A request that the engine refuses is Error(kInvalidValue).
  void stream(Request request);
  /// "31 prompt tokens (410.2 tok/s), 120 generated (45.1 tok/s), ended by stop".
  std::string summary() const;

 private:
  using Clock = std::chrono::steady_clock;

  void take(const SequenceEvent& event);
  void end(std::string why);
  std::string text_of(int32_t token);

  Engine& engine_;
  const Tokenizer* tokenizer_;
  Options options_;
  std::optional<StreamDecoder> decoder_;
  StopMatcher matcher_;

  size_t num_prompt_ = 0;
  size_t num_generated_ = 0;
  std::string ended_by_;  // "": it goes on
  Clock::time_point began_, first_token_, last_token_;
};

}  // namespace terrace
