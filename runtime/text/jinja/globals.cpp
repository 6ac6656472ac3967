// The global functions: range, dict, namespace, and those that chat templates add: raise_exception, strftime_now.
#include <fmt/format.h>

#include <ctime>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/print.h"

namespace terrace::jinja {
namespace {

constexpr std::int64_t kMaxRange = 100'000;                // jinja2's sandbox
constexpr std::int64_t kMaxBound = std::int64_t{1} << 61;  // so that sums of bounds stay in 64 bits

Value global_range(Call& call) {
  const bool one = !call.has(1);
  const Range range{one ? 0 : call.integer(0), one ? call.integer(0) : call.integer(1), call.integer(2, 1)};
  if (range.step == 0) call.fail("needs a step that is not zero");
  for (const std::int64_t value : {range.start, range.stop, range.step}) {
    if (value > kMaxBound || value < -kMaxBound) call.fail("gets too large a number");
  }
  if (range.size() > kMaxRange) call.fail(fmt::format("has {} items; {} are allowed", range.size(), kMaxRange));
  return std::shared_ptr<const Range>(std::make_shared<Range>(range));
}

// dict(mapping or pairs, name=value, ...)
Dict make_dict(Call& call) {
  Dict dict;
  if (call.rest.positional.size() > 1) call.fail("takes one dict or list of pairs");
  if (!call.rest.positional.empty()) {
    const Value& source = call.rest.positional[0];
    if (source.is(Kind::kDict)) {
      dict = *source.as<const Dict>();
    } else {
      for (const Value& pair : to_items(call.rt, source)) {
        const Values parts = to_items(call.rt, pair);
        if (parts.size() != 2) call.fail("needs pairs of a key and a value");
        call.rt.set(dict, parts[0], parts[1]);
      }
    }
  }
  for (const auto& [name, value] : call.rest.keyword) call.rt.set(dict, call.rt.string(name), value);
  return dict;
}

Value global_dict(Call& call) { return call.rt.dict(make_dict(call)); }

Value global_namespace(Call& call) {
  const Value space = call.rt.name_space();
  const Dict attributes = make_dict(call);
  for (const auto& [name, value] : attributes.entries()) {
    if (!name.is_string()) continue;  // no expression could name it
    if (name.as_string().starts_with('_')) call.fail("takes no names that begin with an underscore");
    space.as<Namespace>()->set(name.as_string(), value);
  }
  return space;
}

Value global_raise_exception(Call& call) { call.rt.fail(to_text(call.rt, call.at(0))); }

// As datetime.now().strftime(): local time, whole seconds, no time zone (%z and %Z are empty).
Value global_strftime_now(Call& call) {
  std::string format;
  const std::string& given = call.string(0);
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char code = given[i] == '%' && i + 1 < given.size() ? given[i + 1] : '\0';
    if (code == 'z' || code == 'Z' || code == 'f') {
      format += code == 'f' ? "000000" : "";
      ++i;
      continue;
    }
    format += given[i];
    if (code) format += given[++i];
  }
  const std::time_t seconds = call.rt.now_unix();
  std::tm local{};
  localtime_r(&seconds, &local);
  if (format.find('\0') != std::string::npos || format.size() > 10'000)
    call.fail("gets too long a format, or one with a NUL");
  std::string out(format.size() * 64 + 64, '\0');
  out.resize(std::strftime(out.data(), out.size(), format.c_str(), &local));
  return call.rt.string(std::move(out));
}

constexpr Builtin kTable[] = {
    {"dict", "*", global_dict},
    {"namespace", "*", global_namespace},
    {"raise_exception", "message", global_raise_exception},
    {"range", "start stop? step? /", global_range},
    {"strftime_now", "format", global_strftime_now},
};

}  // namespace

Value find_global(std::string_view name) {
  const Builtin* found = find_builtin(kTable, name);
  if (!found) return None{};
  return std::shared_ptr<const Function>(
      std::make_shared<Function>(Function{found->name, found->parameters, found->callee, None{}}));
}

}  // namespace terrace::jinja
