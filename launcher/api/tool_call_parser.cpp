#include "launcher/api/tool_call_parser.h"

#include <algorithm>
#include <utility>

namespace terrace {
namespace {

constexpr std::string_view kSpace = " \n\r\t";
constexpr std::string_view kHermesEnd = "</tool_call>";
constexpr std::string_view kPythonTag = "<|python_tag|>";

std::string_view first_marker(ToolCallForm form) { return form == ToolCallForm::kMistral ? "[TOOL_CALLS]" : "<tool_call>"; }

// The longest end of `text` that begins `marker`.
size_t held_back(std::string_view text, std::string_view marker) {
  size_t length = std::min(text.size(), marker.size() - 1);
  while (!text.ends_with(marker.substr(0, length))) --length;
  return length;
}

}  // namespace

ToolCallParser::ToolCallParser(ToolCallForm form, std::vector<std::string> function_names)
    : form_(form), function_names_(std::move(function_names)), place_(form == ToolCallForm::kLlama3 ? Place::kStart : Place::kText) {}

ToolCallText ToolCallParser::push(std::string_view text) {
  ToolCallText out;
  pending_ += text;
  while (!pending_.empty() && advance(out)) {
  }
  return out;
}

ToolCallText ToolCallParser::finish() {
  ToolCallText out;
  const bool is_cut_off = place_ == Place::kCall && num_calls_ > 0;
  if (is_cut_off || place_ == Place::kAfterCall) {
    pending_.clear();
  } else {
    raw_ += std::exchange(pending_, {});
    add_content(std::exchange(raw_, {}), out);
  }
  if (num_calls_ == 0) out.content += std::exchange(space_, {});
  return out;
}

// One step on; false where more text is needed.
bool ToolCallParser::advance(ToolCallText& out) {
  switch (place_) {
    case Place::kStart: return at_start(out);
    case Place::kText: return in_text(out);
    case Place::kList: return in_list(out);
    case Place::kCall: return in_call(out);
    case Place::kAfterCall: return after_call();
    case Place::kProse: break;
  }
  add_content(std::exchange(pending_, {}), out);
  return false;
}

// Llama 3: a call, or none, from the first byte on.
bool ToolCallParser::at_start(ToolCallText& out) {
  skip_space();
  if (pending_.empty()) return false;
  if (pending_.starts_with(kPythonTag)) {
    raw_ += kPythonTag;
    pending_.erase(0, kPythonTag.size());
  } else if (pending_.front() == '{') {
    begin_call();
  } else if (kPythonTag.starts_with(pending_)) {
    return false;
  } else {
    fall_back(out);
  }
  return true;
}

bool ToolCallParser::in_text(ToolCallText& out) {
  const std::string_view marker = first_marker(form_);
  const size_t at = pending_.find(marker);
  const size_t length = at == std::string::npos ? pending_.size() - held_back(pending_, marker) : at;
  add_content(std::string_view(pending_).substr(0, length), out);
  pending_.erase(0, length);
  if (at == std::string::npos) return false;
  raw_ = marker;
  pending_.erase(0, marker.size());
  if (form_ == ToolCallForm::kMistral) {
    place_ = Place::kList;
  } else {
    begin_call();
  }
  return true;
}

bool ToolCallParser::in_list(ToolCallText& out) {
  skip_space();
  if (pending_.empty()) return false;
  if (pending_.front() != '[') return fall_back(out), true;
  raw_ += '[';
  pending_.erase(0, 1);
  begin_call();
  return true;
}

bool ToolCallParser::in_call(ToolCallText& out) {
  using State = ToolCallObject::State;
  State state = State::kReading;
  size_t used = 0;
  while (state == State::kReading && used < pending_.size()) {
    if (!is_call_) raw_ += pending_[used];
    state = object_.push(pending_[used++]);
    if (is_call_ || object_.name().empty()) continue;
    const bool known = form_ != ToolCallForm::kLlama3 || std::ranges::find(function_names_, object_.name()) != function_names_.end();
    if (known) {
      out.calls.push_back({num_calls_++, object_.name(), {}});
      is_call_ = true;
      raw_.clear();
      space_.clear();
    } else {
      state = State::kBroken;
    }
  }
  pending_.erase(0, used);
  hand_on(out);
  if (state == State::kReading) return false;
  if (is_call_) {
    place_ = Place::kAfterCall;
  } else {
    fall_back(out);
  }
  return true;
}

// What ends a call, or stands between two.
bool ToolCallParser::after_call() {
  skip_space();
  raw_.clear();
  if (pending_.empty()) return false;
  const char next = pending_.front();
  if (form_ == ToolCallForm::kHermes) {
    if (!pending_.starts_with(kHermesEnd) && kHermesEnd.starts_with(pending_)) return false;
    if (pending_.starts_with(kHermesEnd)) pending_.erase(0, kHermesEnd.size());
    place_ = Place::kText;
  } else if (next == (form_ == ToolCallForm::kMistral ? ',' : ';')) {
    pending_.erase(0, 1);
    begin_call();
  } else if (form_ == ToolCallForm::kLlama3 && next == '{') {
    begin_call();
  } else {
    if (next == ']') pending_.erase(0, 1);
    place_ = form_ == ToolCallForm::kMistral ? Place::kText : Place::kProse;
  }
  return true;
}

void ToolCallParser::begin_call() {
  object_ = ToolCallObject();
  is_call_ = false;
  place_ = Place::kCall;
}

void ToolCallParser::hand_on(ToolCallText& out) {
  if (!is_call_) return;
  std::string arguments = object_.take_arguments();
  if (arguments.empty()) return;
  if (out.calls.empty() || out.calls.back().index != num_calls_ - 1) out.calls.push_back({num_calls_ - 1, {}, {}});
  out.calls.back().arguments += arguments;
}

// It was no call: what was read for one is content.
void ToolCallParser::fall_back(ToolCallText& out) {
  add_content(std::exchange(raw_, {}), out);
  place_ = form_ == ToolCallForm::kLlama3 ? Place::kProse : Place::kText;
}

void ToolCallParser::add_content(std::string_view text, ToolCallText& out) {
  const size_t last = text.find_last_not_of(kSpace);
  if (last == std::string_view::npos) {
    space_ += text;
    return;
  }
  out.content += std::exchange(space_, {});
  out.content += text.substr(0, last + 1);
  space_ = text.substr(last + 1);
}

void ToolCallParser::skip_space() {
  const size_t length = std::min(pending_.find_first_not_of(kSpace), pending_.size());
  raw_ += std::string_view(pending_).substr(0, length);
  pending_.erase(0, length);
}

}  // namespace terrace
