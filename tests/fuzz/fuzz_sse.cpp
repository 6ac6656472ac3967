// Any bytes as a server's stream of events: how they are cut into pieces changes nothing, and each event is read or refused in words.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/bench/stream_event.h"
#include "launcher/http/sse_parser.h"

namespace {

using namespace terrace;

constexpr size_t kMaxEvent = 256;

void require(bool holds) {
  if (!holds) std::abort();
}

std::vector<std::string> events_of(std::string_view text, size_t step) {
  std::vector<std::string> events;
  SseParser parser(kMaxEvent);
  for (size_t at = 0; at < text.size(); at += step) {
    const bool fits = parser.feed(text.substr(at, step), [&](std::string_view data) { events.emplace_back(data); });
    if (!fits) break;
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::vector<std::string> events = events_of(text, text.size() + 1);
  require(events == events_of(text, 1) && events == events_of(text, size_t{data[0]} + 1));
  for (const std::string& event : events) {
    require(event.size() <= kMaxEvent);
    const StreamEvent read = read_stream_event(event);
    require(read.done == (event == "[DONE]"));
    require(error_message_of(event).size() <= 4 * kMaxEvent);
  }
  return 0;
}
