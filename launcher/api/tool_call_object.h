// Reads {"name": "f", "arguments": {...}} as it comes, byte by byte: the name, and the text of the arguments so far. One per call.
#pragma once

#include <string>

namespace terrace {

class ToolCallObject {
 public:
  enum class State { kReading, kDone, kBroken };

  /// Broken: this byte can't belong to such an object. Nothing may be pushed after the end.
  State push(char byte);
  /// "" while it isn't known.
  const std::string& name() const { return name_; }
  /// The arguments' JSON text since the last call; "{}" at the end of an object without any.
  std::string take_arguments();

 private:
  enum class Step { kOpen, kFirstKey, kKey, kInKey, kColon, kBeforeValue, kInValue, kAfterValue, kDone };

  State value_byte(char byte);
  State end_value();

  Step step_ = Step::kOpen;
  std::string key_;    // raw, as is the value: between the quotes
  std::string value_;  // so far, where it's not handed on at once
  int depth_ = 0;      // of brackets in the value
  bool in_string_ = false;
  bool escaped_ = false;
  bool takes_arguments_ = false;  // this value is the arguments
  bool has_arguments_ = false;    // some of them have come
  std::string name_;
  std::string arguments_;
};

}  // namespace terrace
