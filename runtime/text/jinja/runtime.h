// One render's limits and errors: counts steps and memory, knows the template's current line, and keeps alive the
// objects that could form reference cycles until the render ends. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

class Scope;

// Bounds of a render. Real templates use a few thousand steps and nest a few dozen levels deep.
struct Limits {
  std::int64_t max_steps = 100'000'000;           // evaluated nodes, loop rounds, items gone through, 32 bytes of text
  std::size_t max_text = 64u << 20;               // bytes of any one string and of the result
  std::int64_t max_made = std::int64_t{2} << 30;  // bytes of all values made in a render, freed or not
  int max_recursion = 600;                        // nested evaluations: expressions in statements in macros
};

// Throws Error(kInvalidValue): "chat template, line N: message".
[[noreturn]] void fail_at_line(int line, std::string_view message);

class Runtime {
 public:
  // `now_unix`: the seconds that strftime_now shows, in the local time zone of the process.
  Runtime(const Limits& limits, std::int64_t now_unix) : limits_(limits), now_unix_(now_unix) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const Limits& limits() const { return limits_; }
  std::int64_t now_unix() const { return now_unix_; }
  int line() const { return line_; }
  void set_line(int line) { line_ = line; }
  [[noreturn]] void fail(std::string_view message) const { fail_at_line(line_, message); }

  void step(std::int64_t n = 1) {
    steps_ += n;
    if (steps_ > limits_.max_steps) fail_too_long();
  }
  // Announces a string of so many bytes (checked before it is built) or any other memory.
  void reserve_text(std::size_t bytes);
  void reserve(std::size_t bytes);

  Value string(std::string text, bool safe = false);
  Value list(Values items);
  Value tuple(Values items, bool is_group = false);
  Value iterator(Values items);
  Value dict(Dict dict);
  Value undefined(std::string message);
  Value name_space();

  bool same(const Value& a, const Value& b);              // equal(), paid for in steps
  const Value* find(const Dict& dict, const Value& key);  // refuses an unhashable key
  void set(Dict& dict, Value key, Value value);           // likewise

  // A scope that a macro refers to may hold that macro: kept and emptied at the end.
  void keep(std::shared_ptr<Scope> scope) { scopes_.push_back(std::move(scope)); }

  // Likewise a loop that remembers arguments of loop.changed().
  void keep(std::shared_ptr<Loop> loop) { loops_.push_back(std::move(loop)); }

  // One more nested evaluation for as long as it lives.
  class Nesting {
   public:
    explicit Nesting(Runtime& rt) : rt_(rt) {
      if (++rt_.recursion_ > rt_.limits_.max_recursion) rt_.fail_too_deep();
    }
    ~Nesting() { --rt_.recursion_; }
    Nesting(const Nesting&) = delete;

   private:
    Runtime& rt_;
  };

 private:
  [[noreturn]] void fail_too_long() const;
  [[noreturn]] void fail_too_deep();
  Extent measure(const Values& items);

  Limits limits_;
  std::int64_t now_unix_;
  int line_ = 1;
  std::int64_t steps_ = 0;
  std::int64_t made_ = 0;
  int recursion_ = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Scope>> scopes_;
  std::vector<std::shared_ptr<Loop>> loops_;
};

}  // namespace terrace::jinja
