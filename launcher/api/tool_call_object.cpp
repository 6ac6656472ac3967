#include "launcher/api/tool_call_object.h"

#include <boost/json.hpp>
#include <utility>

namespace terrace {
namespace {

bool is_space(char byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

// "" where `text` is no JSON string.
std::string unquoted(const std::string& text) {
  boost::json::error_code error;
  const boost::json::value value = boost::json::parse(text, error);
  return !error && value.is_string() ? std::string(value.as_string()) : std::string();
}

}  // namespace

std::string ToolCallObject::take_arguments() { return std::exchange(arguments_, {}); }

ToolCallObject::State ToolCallObject::push(char byte) {
  if (step_ == Step::kInValue) return value_byte(byte);
  if (step_ == Step::kInKey) {
    if (byte == '"' && !escaped_) {
      step_ = Step::kColon;
    } else {
      key_ += byte;
    }
    escaped_ = byte == '\\' && !escaped_;
    return State::kReading;
  }
  if (is_space(byte)) return State::kReading;
  const bool at_key = step_ == Step::kFirstKey || step_ == Step::kKey;
  if (step_ == Step::kOpen && byte == '{') {
    step_ = Step::kFirstKey;
  } else if (at_key && byte == '"') {
    key_.clear();
    step_ = Step::kInKey;
  } else if (step_ == Step::kColon && byte == ':') {
    step_ = Step::kBeforeValue;
  } else if (step_ == Step::kBeforeValue) {
    value_.clear();
    takes_arguments_ = !has_arguments_ && (key_ == "arguments" || key_ == "parameters");
    step_ = Step::kInValue;
    return value_byte(byte);
  } else if (step_ == Step::kAfterValue && byte == ',') {
    step_ = Step::kKey;
  } else if ((step_ == Step::kAfterValue || step_ == Step::kFirstKey) && byte == '}') {
    if (!has_arguments_) arguments_ = "{}";
    step_ = Step::kDone;
    return name_.empty() ? State::kBroken : State::kDone;
  } else {
    return State::kBroken;
  }
  return State::kReading;
}

ToolCallObject::State ToolCallObject::value_byte(char byte) {
  const bool is_scalar = depth_ == 0 && !in_string_;
  const bool ends_scalar = is_scalar && (is_space(byte) || byte == ',' || byte == '}' || byte == ']');
  if (ends_scalar) {
    if (value_.empty()) return State::kBroken;
    const State state = end_value();
    return state == State::kReading ? push(byte) : state;
  }
  // Objects go on at once; strings and numbers wait for their end.
  const bool at_once = takes_arguments_ && (has_arguments_ || (value_.empty() && byte == '{'));
  (at_once ? arguments_ : value_) += byte;
  if (at_once) has_arguments_ = true;
  if (in_string_) {
    if (byte == '"' && !escaped_) in_string_ = false;
    escaped_ = byte == '\\' && !escaped_;
  } else if (byte == '"') {
    in_string_ = true;
  } else if (byte == '{' || byte == '[') {
    ++depth_;
  } else if (byte == '}' || byte == ']') {
    --depth_;
  }
  const bool closes = !in_string_ && (byte == '"' || byte == '}' || byte == ']');
  return closes && depth_ == 0 ? end_value() : State::kReading;
}

ToolCallObject::State ToolCallObject::end_value() {
  step_ = Step::kAfterValue;
  if (key_ == "name" && name_.empty()) {
    name_ = unquoted(value_);
    if (name_.empty()) return State::kBroken;
  } else if (takes_arguments_ && !value_.empty()) {  // some models write the object into a string
    arguments_ += value_.starts_with('"') ? unquoted(value_) : value_;
    has_arguments_ = true;
  }
  return State::kReading;
}

}  // namespace terrace
