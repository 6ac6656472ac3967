#include "runtime/text/chat_template.h"

#include <fmt/format.h>

#include <boost/json/value.hpp>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/text/chat_messages.h"
#include "runtime/text/content_parts.h"
#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/parser.h"
#include "runtime/text/jinja/tojson.h"
#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace terrace {
namespace {

jinja::Template parse(const std::string& source) {
  if (find_invalid_utf8(source) != std::string_view::npos) {
    throw Error(ErrorCode::kInvalidValue,
                "the chat template is not valid UTF-8; the model file is damaged or mislabelled");
  }
  return jinja::parse_template(source);
}

const boost::json::object& checked(const boost::json::value& request) {
  const boost::json::value* messages = request.is_object() ? request.get_object().if_contains("messages") : nullptr;
  if (!messages || !messages->is_array()) {
    throw Error(ErrorCode::kInvalidValue, "a chat request is an object whose \"messages\" is a list");
  }
  return request.get_object();
}

}  // namespace

struct ChatTemplate::Impl {
  Impl(std::string text, std::string bos, std::string eos)
      : source(std::move(text)),
        tree(parse(source)),
        reads_parts(reads_content_parts(tree)),
        bos_token(std::move(bos)),
        eos_token(std::move(eos)) {}

  jinja::Dict variables(jinja::Runtime& rt, const boost::json::object& request) const {
    jinja::Dict out;
    const auto set = [&](std::string_view name, jinja::Value value) {
      out.set(jinja::make_string(std::string(name)), std::move(value));
    };
    if (!bos_token.empty()) set("bos_token", jinja::make_string(bos_token));
    if (!eos_token.empty()) set("eos_token", jinja::make_string(eos_token));
    set("tools", jinja::None{});
    set("documents", jinja::None{});
    set("add_generation_prompt", false);
    for (const auto& member : request) {
      const std::string_view name(member.key().data(), member.key().size());
      if (name == "messages") {
        boost::json::array messages = member.value().get_array();
        prepare_messages(messages, reads_parts);
        set(name, jinja::from_json(rt, std::move(messages)));
      } else if (name != "chat_template_kwargs") {
        set(name, jinja::from_json(rt, member.value()));
      }
    }
    add_kwargs(rt, request, set);
    return out;
  }

  template <class Set>
  static void add_kwargs(jinja::Runtime& rt, const boost::json::object& request, const Set& set) {
    const boost::json::value* kwargs = request.if_contains("chat_template_kwargs");
    if (!kwargs || kwargs->is_null()) return;
    if (!kwargs->is_object())
      throw Error(ErrorCode::kInvalidValue, "\"chat_template_kwargs\" is an object of template variables");
    for (const auto& member : kwargs->get_object()) {
      set(std::string_view(member.key().data(), member.key().size()), jinja::from_json(rt, member.value()));
    }
  }

  std::string source;
  jinja::Template tree;
  bool reads_parts;
  std::string bos_token, eos_token;
};

ChatTemplate::ChatTemplate(std::string source, std::string bos_token, std::string eos_token)
    : impl_(std::make_unique<Impl>(std::move(source), std::move(bos_token), std::move(eos_token))) {}

ChatTemplate::~ChatTemplate() = default;

const std::string& ChatTemplate::source() const { return impl_->source; }

std::string ChatTemplate::render(const boost::json::value& request, int64_t now_unix) const {
  jinja::Runtime rt(jinja::Limits{}, now_unix);
  const jinja::Dict variables = impl_->variables(rt, checked(request));
  return jinja::Interpreter(impl_->tree, rt).render(variables);
}

}  // namespace terrace
