// A template cannot crash, hang or exhaust the process: each bound gives a sentence with a line.
#include <string>

#include "kernels/base/error.h"
#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/parser.h"

namespace terrace {
namespace {

std::string repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// The error's sentence; empty when the template renders.
std::string error_of(const std::string& source) {
  jinja::Limits limits;
  limits.max_steps = 1'000'000;
  limits.max_text = 1 << 20;
  limits.max_made = 64 << 20;
  try {
    jinja::Runtime rt(limits, 0);
    const jinja::Template tree = jinja::parse_template(source);
    jinja::Interpreter(tree, rt).render({});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidValue);
    return error.what();
  }
  return "";
}

TEST(JinjaLimitsTest, NamesTheLineOfAnError) {
  EXPECT_EQ(error_of("a\n\n{{ x.y }}"), "chat template, line 3: 'x' is undefined");
  EXPECT_EQ(error_of("a\n{% if %}"), "chat template, line 2: '%}' stands where an expression is due");
  EXPECT_EQ(error_of("{% macro f() %}\n{{ raise_exception('no') }}{% endmacro %}\n{{ f() }}"),
            "chat template, line 2: no");
}

TEST(JinjaLimitsTest, RefusesDeepExpressions) {
  const std::string sentence = "chat template, line 1: an expression nests more than 300 levels deep";
  EXPECT_EQ(error_of("{{ " + repeat("(", 5'000) + "1" + repeat(")", 5'000) + " }}"), sentence);
  EXPECT_EQ(error_of("{{ " + repeat("[", 5'000) + repeat("]", 5'000) + " }}"), sentence);
  EXPECT_EQ(error_of("{{ " + repeat("-", 5'000) + "1 }}"), sentence);
  EXPECT_EQ(error_of("{{ " + repeat("not ", 5'000) + "1 }}"), sentence);
  EXPECT_EQ(error_of("{{ 1" + repeat(" + 1", 5'000) + " }}"), sentence);
  EXPECT_EQ(error_of("{{ x" + repeat(".a", 5'000) + " }}"), sentence);
  EXPECT_EQ(error_of("{{ x" + repeat("|trim", 5'000) + " }}"), sentence);
  EXPECT_EQ(error_of("{{ 1" + repeat(" if 1 else 1", 5'000) + " }}"), sentence);
}

TEST(JinjaLimitsTest, RefusesDeepStatements) {
  EXPECT_EQ(error_of(repeat("{% if 1 %}", 5'000)), "chat template, line 1: statements nest more than 100 levels deep");
}

TEST(JinjaLimitsTest, TakesTheNestingOfRealTemplates) {
  EXPECT_EQ(error_of("{{ " + repeat("(", 60) + "1" + repeat(")", 60) + " }}"), "");
  EXPECT_EQ(error_of("{{ 'a'" + repeat(" + 'a'", 150) + repeat(" ~ 'a'", 1'000) + " }}"), "");
  EXPECT_EQ(error_of("{% if 0 %}" + repeat("{% elif 0 %}", 1'000) + "{% endif %}"), "");
}

TEST(JinjaLimitsTest, RefusesEndlessRecursion) {
  EXPECT_NE(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").find("nested evaluations"), std::string::npos);
  EXPECT_NE(error_of("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}").find("nested evaluations"),
            std::string::npos);
}

TEST(JinjaLimitsTest, RefusesEndlessWork) {
  const std::string nested = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
  EXPECT_NE(error_of(nested).find("steps"), std::string::npos);
  EXPECT_NE(error_of("{% set ns = namespace(l=[1]) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}"
                     "{{ ns.l == ns.l|list }}")
                .find("steps"),
            std::string::npos);
}

TEST(JinjaLimitsTest, RefusesHugeTexts) {
  EXPECT_NE(error_of("{{ 'x' * 100000000000 }}").find("too long"), std::string::npos);
  EXPECT_NE(error_of("{{ 'x'.center(100000000000) }}").find("too large"), std::string::npos);
  EXPECT_NE(error_of("{{ '%100000000000d' % 1 }}").find("too large"), std::string::npos);
  EXPECT_NE(error_of("{{ '{:100000000}'.format(1) }}").find("too large"), std::string::npos);
  const std::string doubling =
      "{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
  EXPECT_NE(error_of(doubling).find("limit"), std::string::npos);
  EXPECT_NE(error_of("{% for i in range(99999) %}{{ '0123456789012345' }}{% endfor %}").find("limit"),
            std::string::npos);
}

TEST(JinjaLimitsTest, RefusesDeepValues) {
  const std::string nest = "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = ";
  EXPECT_NE(error_of(nest + "[ns.l] %}{% endfor %}").find("nest more than 200"), std::string::npos);
  EXPECT_NE(error_of(nest + "{'a': ns.l} %}{% endfor %}").find("nest more than 200"), std::string::npos);
  EXPECT_NE(error_of("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}").find("nested evaluations"),
            std::string::npos);
}

// Long chains and cycles of objects are freed without recursion and without a leak (the sanitizer build looks).
TEST(JinjaLimitsTest, FreesCyclesAndLongChains) {
  EXPECT_EQ(
      error_of("{% set h = namespace(n=0) %}{% for i in range(9999) %}{% set h.n = namespace(p=h.n) %}{% endfor %}"),
      "");
  EXPECT_EQ(error_of("{% set n = namespace() %}{% set n.n = n %}{% macro f() %}{{ n }}{% endmacro %}{% set n.f = f %}"),
            "");
  EXPECT_EQ(error_of("{% for i in [1, 2] %}{% set x = loop.changed(loop) %}{% endfor %}"), "");
}

}  // namespace
}  // namespace terrace
