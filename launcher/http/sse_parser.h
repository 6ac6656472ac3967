// Server-sent events out of bytes, as they come in pieces: the text/event-stream grammar of WHATWG's HTML standard, of which `data` is kept. One thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace terrace {

class SseParser {
 public:
  /// Called with the data of each event that has some.
  using EventCallback = std::function<void(std::string_view data)>;
  /// An event of more bytes than `max_event` is refused.
  explicit SseParser(size_t max_event = 16 << 20) : max_event_(max_event) {}

  /// False where an event grows too large, from then on.
  bool feed(std::string_view bytes, const EventCallback& on_event);

 private:
  void end_line(const EventCallback& on_event);

  size_t max_event_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool first_line_ = true;
  bool after_cr_ = false;  // a \n that comes now belongs to the line's end before it
  bool too_large_ = false;
};

}  // namespace terrace
