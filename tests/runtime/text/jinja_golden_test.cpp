// Replays tests/golden/jinja.jsonl: what the real jinja2 made of some 280 templates (make_jinja_goldens.py).
#include <boost/json.hpp>
#include <fstream>
#include <string>

#include "kernels/base/error.h"
#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/parser.h"
#include "runtime/text/jinja/tojson.h"

namespace terrace {
namespace {

std::string render(const std::string& source, const boost::json::value& request, std::int64_t now) {
  jinja::Runtime rt(jinja::Limits{}, now);
  const jinja::Template tree = jinja::parse_template(source);
  const jinja::Value variables = jinja::from_json(rt, request);
  return jinja::Interpreter(tree, rt).render(*variables.as<const jinja::Dict>());
}

TEST(JinjaGoldenTest, RendersAndRefusesWhatJinja2Does) {
  std::ifstream file(TERRACE_SOURCE_DIR "/tests/golden/jinja.jsonl");
  std::string line;
  int num_cases = 0;
  while (std::getline(file, line)) {
    const boost::json::value golden = boost::json::parse(line);
    const auto source = boost::json::value_to<std::string>(golden.at("template"));
    SCOPED_TRACE(source);
    ++num_cases;
    if (golden.as_object().contains("error")) {
      EXPECT_THROW(render(source, golden.at("request"), golden.at("now").as_int64()), Error);
      continue;
    }
    try {
      EXPECT_EQ(render(source, golden.at("request"), golden.at("now").as_int64()),
                boost::json::value_to<std::string>(golden.at("expected")));
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GE(num_cases, 250);
}

}  // namespace
}  // namespace terrace
