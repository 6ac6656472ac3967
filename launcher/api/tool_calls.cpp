#include "launcher/api/tool_calls.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace terrace {

namespace json = boost::json;

ToolCalls::ToolCalls(const AnswerForm& form, uint64_t id_seed) : form_(*form.calls), id_seed_(id_seed), parser_(*form.calls, form.function_names) {}

std::string ToolCalls::take(ToolCallText text) {
  for (ToolCallDelta& delta : text.calls) {
    if (!delta.name.empty()) calls_.push_back({make_id(), std::move(delta.name), {}});
    calls_[static_cast<size_t>(delta.index)].arguments += delta.arguments;
  }
  return std::move(text.content);
}

std::string ToolCalls::make_id() const {
  const uint64_t index = calls_.size();
  uint64_t hash = XXH3_64bits_withSeed(&index, sizeof index, id_seed_);
  if (form_ != ToolCallForm::kMistral) return fmt::format("call_{:016x}", hash);
  std::string id;  // whose templates take ids of nine letters and digits only
  for (; id.size() < 9; hash /= 36) id += "0123456789abcdefghijklmnopqrstuvwxyz"[hash % 36];
  return id;
}

json::array ToolCalls::list() const {
  json::array list;
  for (const Call& call : calls_) {
    list.push_back({{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return list;
}

bool ToolCalls::has_news() const {
  return std::ranges::any_of(calls_, [](const Call& call) { return !call.is_open || call.sent < call.arguments.size(); });
}

json::array ToolCalls::take_deltas() {
  json::array deltas;
  for (size_t i = 0; i < calls_.size(); ++i) {
    Call& call = calls_[i];
    if (call.is_open && call.sent == call.arguments.size()) continue;
    json::object delta = {{"index", i}};
    json::object function;
    if (!call.is_open) {
      delta["id"] = call.id;
      delta["type"] = "function";
      function["name"] = call.name;
    }
    function["arguments"] = call.arguments.substr(call.sent);
    delta["function"] = std::move(function);
    deltas.push_back(std::move(delta));
    call.sent = call.arguments.size();
    call.is_open = true;
  }
  return deltas;
}

}  // namespace terrace
