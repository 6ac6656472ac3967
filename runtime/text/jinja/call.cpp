#include "runtime/text/jinja/call.h"

#include <fmt/format.h>

#include <algorithm>

namespace terrace::jinja {
namespace {

// The words of a Builtin's parameters, one at a time.
class ParameterWords {
 public:
  explicit ParameterWords(std::string_view text) : rest_(text) {}

  bool next() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size()));
    if (rest_.empty()) return false;
    word_ = rest_.substr(0, rest_.find(' '));
    rest_.remove_prefix(word_.size());
    return true;
  }
  bool is_slash() const { return word_ == "/"; }
  bool is_optional() const { return word_.back() == '?'; }
  std::string_view name() const { return is_optional() ? word_.substr(0, word_.size() - 1) : word_; }

 private:
  std::string_view rest_, word_;
};

void bind(Call& call, std::string_view parameters, Arguments arguments) {
  const bool keywords = parameters.empty() || parameters.back() != '/';
  if (!keywords && !arguments.keyword.empty()) call.fail("takes no keyword arguments");
  std::size_t used = 0;
  ParameterWords words(parameters);
  while (words.next() && !words.is_slash()) {
    std::optional<Value>& slot = call.slots.emplace_back();
    const std::size_t i = call.slots.size() - 1;
    const Value* named = arguments.find(words.name());
    if (named) ++used;
    if (i < arguments.positional.size()) {
      if (named) call.fail(fmt::format("gets the argument '{}' twice", words.name()));
      slot = std::move(arguments.positional[i]);
    } else if (named) {
      slot = *named;
    } else if (!words.is_optional()) {
      call.fail(fmt::format("misses its argument '{}'", words.name()));
    }
  }
  if (arguments.positional.size() > call.slots.size()) {
    call.fail(fmt::format("takes at most {} arguments, not {}", call.slots.size(), arguments.positional.size()));
  }
  if (used < arguments.keyword.size()) call.fail("gets a keyword argument that it does not know");
}

}  // namespace

const Value* Arguments::find(std::string_view name) const {
  const auto it = std::find_if(keyword.begin(), keyword.end(), [&](auto& k) { return k.first == name; });
  return it == keyword.end() ? nullptr : &it->second;
}

std::int64_t Call::integer(std::size_t i) const {
  if (!at(i).is_integral()) fail(fmt::format("needs an integer, not a {}", type_name(at(i))));
  return at(i).as_int();
}

const std::string& Call::string(std::size_t i) const {
  if (!at(i).is_string()) fail(fmt::format("needs a str, not a {}", type_name(at(i))));
  return at(i).as_string();
}

void Call::fail(std::string_view message) const { rt.fail(fmt::format("{} {}", name, message)); }

Value call_builtin(Runtime& rt, const Builtin& builtin, const Value& self, Arguments arguments) {
  rt.step();
  Call call{rt, builtin.name, self, {}, {}};
  if (std::string_view(builtin.parameters) == "*") {
    call.rest = std::move(arguments);
  } else {
    bind(call, builtin.parameters, std::move(arguments));
  }
  return builtin.callee(call);
}

Value call_function(Runtime& rt, const Function& function, Arguments arguments) {
  return call_builtin(rt, {function.name, function.parameters, function.callee}, function.self, std::move(arguments));
}

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name) {
  const auto it = std::find_if(table.begin(), table.end(), [&](auto& builtin) { return builtin.name == name; });
  return it == table.end() ? nullptr : &*it;
}

const Builtin* find_filter(std::string_view name) {
  for (const auto table : {text_filters(), number_filters(), sequence_filters(), select_filters()}) {
    if (const Builtin* found = find_builtin(table, name)) return found;
  }
  return nullptr;
}

const Builtin* find_method(const Value& object, std::string_view name) {
  if (object.is_string()) {
    const Builtin* found = find_builtin(string_methods(), name);
    return found ? found : find_builtin(string_split_methods(), name);
  }
  if (object.is(Kind::kTuple) && name == "copy") return nullptr;  // only a list has it
  if (object.items()) return find_builtin(sequence_methods(), name);
  if (object.is(Kind::kDict)) return find_builtin(dict_methods(), name);
  return nullptr;
}

}  // namespace terrace::jinja
