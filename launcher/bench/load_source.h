// The requests of a load test: synthetic, or from a file. Immutable once made, any thread.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace terrace {

struct LoadRequest {
  std::string path;                  // "/v1/completions"
  std::string body;                  // JSON
  std::optional<double> at_seconds;  // after the beginning; where the source says when
};

/// What each body gets beside the source's own members, which win.
struct BodyOptions {
  std::string model;
  bool ignore_eos = false;
  boost::json::object extra = {};
};

class LoadSource {
 public:
  virtual ~LoadSource() = default;
  /// Requests that it has; nullopt: as many as are wanted.
  virtual std::optional<int64_t> size() const = 0;
  /// Request `number` (0, 1, ...); beyond size() they begin anew, with times that go on.
  virtual LoadRequest request(int64_t number) const = 0;
};

struct SyntheticLengths {
  int32_t input_from = 200, input_to = 200;  // tokens, evenly between both
  int32_t output_from = 64, output_to = 64;
  int32_t shared_prefix = 0;  // tokens that all inputs begin with, among the former
  bool chat = false;
  uint64_t seed = 1;
};

std::unique_ptr<LoadSource> make_synthetic_source(const SyntheticLengths& lengths, const BodyOptions& options);
/// JSON lines: bodies of /v1/completions (they have "prompt") or /v1/chat/completions ("messages"), or lines of OpenAI's batch files that hold one as "body".
/// Throws kInvalidValue with the file's name and the line's number; the file may change afterwards.
std::unique_ptr<LoadSource> read_dataset_source(const std::string& path, const BodyOptions& options);
/// JSON lines {timestamp (ms), input_length, output_length, hash_ids}, as Mooncake's traces have it: equal ids give equal text of `page_tokens` tokens,
/// and requests come `speed` times as fast as they were recorded.
std::unique_ptr<LoadSource> read_trace_source(const std::string& path, int32_t page_tokens, double speed, bool chat, const BodyOptions& options);

}  // namespace terrace
