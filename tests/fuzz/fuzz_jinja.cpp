// Any bytes as a chat template, rendered over a fixed request: an answer or an Error, never a crash, a hang or a leak.
#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/base/error.h"
#include "runtime/text/content_parts.h"
#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/parser.h"
#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace {

using namespace terrace;
using jinja::Dict;
using jinja::make_string;
using jinja::Value;

Value message(jinja::Runtime& rt, const char* role, Value content) {
  Dict out;
  out.set(make_string("role"), make_string(role));
  out.set(make_string("content"), std::move(content));
  return rt.dict(std::move(out));
}

Dict variables(jinja::Runtime& rt) {
  Dict out;
  Dict part;
  part.set(make_string("type"), make_string("text"));
  part.set(make_string("text"), make_string("h\u00e9 <b>"));
  out.set(make_string("messages"),
          rt.list({message(rt, "system", make_string("Be brief.\n")), message(rt, "user", rt.list({rt.dict(part)})),
                   message(rt, "assistant", {})}));
  out.set(make_string("tools"), rt.list({rt.dict(part), std::int64_t{7}, 2.5, true}));
  out.set(make_string("s"), make_string("a\u4e16b c"));
  out.set(make_string("n"), std::int64_t{-3});
  out.set(make_string("d"), rt.dict(part));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string source(reinterpret_cast<const char*>(data), size);
  if (find_invalid_utf8(source) != std::string_view::npos) return 0;
  jinja::Limits limits;
  limits.max_steps = 200'000;
  limits.max_text = 1 << 20;
  limits.max_made = 32 << 20;
  try {
    jinja::Runtime rt(limits, 1'753'456'789);
    const jinja::Template tree = jinja::parse_template(source);
    reads_content_parts(tree);
    jinja::Interpreter(tree, rt).render(variables(rt));
  } catch (const Error&) {
  }
  return 0;
}
