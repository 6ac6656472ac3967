// Any text as an answer with calls, in any pieces: the first byte chooses the form and where the text is cut. The pieces must not matter, and no text may get lost
// where there are no calls.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "launcher/api/tool_call_parser.h"

namespace {

using namespace terrace;

struct Parsed {
  std::string content;
  std::vector<ToolCallDelta> calls;
};

void require(bool holds) {
  if (!holds) std::abort();
}

void take(Parsed& parsed, const ToolCallText& more) {
  parsed.content += more.content;
  for (const ToolCallDelta& delta : more.calls) {
    const auto index = static_cast<size_t>(delta.index);
    require(index <= parsed.calls.size() && delta.name.empty() == (index < parsed.calls.size()));
    if (index == parsed.calls.size()) {
      parsed.calls.push_back(delta);
    } else {
      parsed.calls[index].arguments += delta.arguments;
    }
  }
}

Parsed parse(ToolCallForm form, const std::string& text, size_t piece) {
  ToolCallParser parser(form, {"f", "g"});
  Parsed parsed;
  for (size_t begin = 0; begin < text.size(); begin += piece) take(parsed, parser.push(std::string_view(text).substr(begin, piece)));
  take(parsed, parser.finish());
  require(parsed.calls.size() == static_cast<size_t>(parser.num_calls()));
  return parsed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto form = static_cast<ToolCallForm>(data[0] % 3);
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Parsed whole = parse(form, text, text.size() + 1);
  const Parsed pieces = parse(form, text, 1 + data[0] / 3 % 16);
  require(whole.content == pieces.content && whole.calls.size() == pieces.calls.size());
  for (size_t i = 0; i < whole.calls.size(); ++i) {
    require(!whole.calls[i].name.empty());
    require(whole.calls[i].name == pieces.calls[i].name && whole.calls[i].arguments == pieces.calls[i].arguments);
  }
  if (whole.calls.empty()) require(whole.content == text);
  return 0;
}
