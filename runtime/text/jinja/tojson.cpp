#include "runtime/text/jinja/tojson.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <cmath>

#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace terrace::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& rt, const JsonStyle& style) : rt_(rt), style_(style) {}

  std::string take() { return std::move(out_); }

  void write(const Value& value) {
    const Runtime::Nesting nesting(rt_);
    rt_.step();
    if (out_.size() > rt_.limits().max_text) rt_.reserve_text(out_.size());
    switch (value.kind()) {
      case Kind::kNone: out_ += "null"; break;
      case Kind::kBool: out_ += value.as_bool() ? "true" : "false"; break;
      case Kind::kInt: out_ += std::to_string(value.as_int()); break;
      case Kind::kFloat: out_ += number(value.as_double()); break;
      case Kind::kString: write_string(value.as_string()); break;
      case Kind::kList:
      case Kind::kTuple: write_list(*value.items()); break;
      case Kind::kDict: write_dict(*value.as<const Dict>()); break;
      default: rt_.fail(fmt::format("tojson cannot write a {}", type_name(value)));
    }
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return format_float(value);
  }

  void write_escape(char32_t c) {
    const auto code = static_cast<std::uint32_t>(c);
    if (code < 0x10000) {
      out_ += fmt::format("\\u{:04x}", code);
    } else {
      out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF));
    }
  }

  void write_string(std::string_view text) {
    out_ += '"';
    for (std::size_t pos = 0; pos < text.size();) {
      const char32_t c = decode_point(text, pos);
      switch (c) {
        case '"': out_ += "\\\""; break;
        case '\\': out_ += "\\\\"; break;
        case '\n': out_ += "\\n"; break;
        case '\r': out_ += "\\r"; break;
        case '\t': out_ += "\\t"; break;
        case '\f': out_ += "\\f"; break;
        case '\b': out_ += "\\b"; break;
        default:
          if (c < 0x20 || (style_.ensure_ascii && c > 0x7E)) {
            write_escape(c);
          } else {
            append_utf8(out_, c);
          }
      }
    }
    out_ += '"';
  }

  void new_line() {
    if (!style_.indent) return;
    out_ += '\n';
    for (int i = 0; i < level_; ++i) out_ += *style_.indent;
  }

  void write_list(const Values& items) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    ++level_;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line();
      write(items[i]);
    }
    --level_;
    new_line();
    out_ += ']';
  }

  void write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::kString: write_string(key.as_string()); break;
      case Kind::kNone: out_ += "\"null\""; break;
      case Kind::kBool: out_ += key.as_bool() ? "\"true\"" : "\"false\""; break;
      case Kind::kInt: out_ += fmt::format("\"{}\"", key.as_int()); break;
      case Kind::kFloat: out_ += fmt::format("\"{}\"", number(key.as_double())); break;
      default: rt_.fail(fmt::format("tojson cannot write a {} as a key", type_name(key)));
    }
  }

  void write_dict(const Dict& dict) {
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](auto* a, auto* b) { return compare(rt_, Comparison::kLt, a->first, b->first); });
    }
    if (entries.empty()) {
      out_ += "{}";
      return;
    }
    out_ += '{';
    ++level_;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line();
      write_key(entries[i]->first);
      out_ += style_.key_separator;
      write(entries[i]->second);
    }
    --level_;
    new_line();
    out_ += '}';
  }

  Runtime& rt_;
  const JsonStyle& style_;
  std::string out_;
  int level_ = 0;
};

Value from_json_at(Runtime& rt, const boost::json::value& json, int depth) {
  namespace bj = boost::json;
  if (depth > kMaxNesting) rt.fail(fmt::format("the request nests more than {} levels deep", kMaxNesting));
  rt.step();
  switch (json.kind()) {
    case bj::kind::null: return None{};
    case bj::kind::bool_: return json.get_bool();
    case bj::kind::int64: return json.get_int64();
    case bj::kind::uint64:
      if (json.get_uint64() > static_cast<std::uint64_t>(INT64_MAX))
        rt.fail("the request has an integer beyond 64 bits");
      return static_cast<std::int64_t>(json.get_uint64());
    case bj::kind::double_: return json.get_double();
    case bj::kind::string: {
      const bj::string& text = json.get_string();
      if (find_invalid_utf8({text.data(), text.size()}) != std::string_view::npos)
        rt.fail("the request has a text that is not valid UTF-8");
      return rt.string(std::string(text.data(), text.size()));
    }
    case bj::kind::array: {
      Values items;
      for (const bj::value& item : json.get_array()) items.push_back(from_json_at(rt, item, depth + 1));
      return rt.list(std::move(items));
    }
    case bj::kind::object: break;
  }
  Dict dict;
  for (const auto& member : json.get_object()) {
    const bj::string_view key = member.key();
    if (find_invalid_utf8({key.data(), key.size()}) != std::string_view::npos)
      rt.fail("the request has a key that is not valid UTF-8");
    dict.set(rt.string(std::string(key.data(), key.size())), from_json_at(rt, member.value(), depth + 1));
  }
  return rt.dict(std::move(dict));
}

}  // namespace

std::string to_json(Runtime& rt, const Value& value, const JsonStyle& style) {
  JsonWriter writer(rt, style);
  writer.write(value);
  return writer.take();
}

Value from_json(Runtime& rt, const boost::json::value& json) { return from_json_at(rt, json, 1); }

}  // namespace terrace::jinja
