#include "runtime/text/chat_template.h"

#include <boost/json.hpp>
#include <string>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr const char* kChatMl =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

std::string render(const std::string& source, const std::string& request, const std::string& bos = "<s>") {
  return ChatTemplate(source, bos, "</s>").render(boost::json::parse(request), 0);
}

std::string error_of(const std::string& source, const std::string& request) {
  try {
    render(source, request);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidValue);
    return error.what();
  }
  return "";
}

TEST(ChatTemplateTest, RendersChatMl) {
  const std::string messages =
      R"("messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])";
  const std::string text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n";
  EXPECT_EQ(render(kChatMl, "{" + messages + "}"), text);
  EXPECT_EQ(render(kChatMl, "{" + messages + R"(, "add_generation_prompt": true})"), text + "<|im_start|>assistant\n");
}

TEST(ChatTemplateTest, GivesTheVariablesOfApplyChatTemplate) {
  const std::string shows =
      "{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ model }}";
  EXPECT_EQ(render(shows, R"({"messages": []})"), "<s></s>TrueTrueFalse");
  EXPECT_EQ(render(shows, R"({"messages": [], "tools": [], "model": "m"})"), "<s></s>FalseTrueFalsem");
  EXPECT_EQ(render("{{ bos_token is defined }}", R"({"messages": []})", ""), "False");
}

TEST(ChatTemplateTest, LetsTemplateKwargsWin) {
  EXPECT_EQ(render("{{ a }}{{ b }}{{ chat_template_kwargs is defined }}",
                   R"({"messages": [], "a": 1, "b": 2, "chat_template_kwargs": {"b": 3}})"),
            "13False");
}

TEST(ChatTemplateTest, JoinsTextPartsWhereTheTemplateExpectsAString) {
  const std::string parts =
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]})";
  EXPECT_EQ(render(kChatMl, parts), "<|im_start|>user\na\nb<|im_end|>\n");
}

TEST(ChatTemplateTest, KeepsPartsWhereTheTemplateReadsThem) {
  const std::string parts =
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]})";
  for (const std::string reader :
       {"{% for m in messages %}{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for p in m['content'] | list %}<{{ p['text'] }}>{% endfor %}{% endfor %}",
        "{% for m in messages %}{% set c = m.get('content') %}{% for p in c %}<{{ p.text }}>{% endfor %}{% endfor %}",
        "{% macro show(content) %}{% for p in content %}<{{ p.text }}>{% endfor %}{% endmacro %}{{ "
        "show(messages[0].content) }}",
        "<{{ messages[0].content[0].text }}><{{ messages[0]['content'][1]['text'] }}>",
        "<{{ messages[0].content | map(attribute='text') | join('><') }}>"}) {
    SCOPED_TRACE(reader);
    EXPECT_EQ(render(reader, parts), "<a><b>");
  }
}

TEST(ChatTemplateTest, RefusesPictureForATextTemplate) {
  EXPECT_EQ(
      error_of(kChatMl, R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]})"),
      "messages[0]: this model's chat template takes text only, not a content part of type 'image_url'");
}

TEST(ChatTemplateTest, ParsesTheArgumentsOfToolCalls) {
  const std::string shows =
      "{{ messages[0].tool_calls[0].function.arguments | tojson }}{{ messages[0].tool_calls[0].function.arguments.x }}";
  const auto request = [](const std::string& arguments) {
    return R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": )" +
           arguments + "}}]}]}";
  };
  EXPECT_EQ(render(shows, request(R"("{\"x\": [1, 2.50]}")")), R"({"x": [1, 2.5]}[1, 2.5])");
  EXPECT_EQ(render(shows, request(R"({"x": 1})")), R"({"x": 1}1)");
  EXPECT_NE(error_of(shows, request(R"("{x")")).find("messages[0]: the arguments of a tool call"), std::string::npos);
}

TEST(ChatTemplateTest, NamesReasoningAsTemplatesDo) {
  const std::string shows = "{{ messages[0].reasoning_content }}|{{ messages[0].thinking }}";
  EXPECT_EQ(render(shows, R"({"messages": [{"role": "assistant", "reasoning": "r"}]})"), "r|r");
  EXPECT_EQ(render(shows, R"({"messages": [{"role": "assistant", "thinking": "t"}]})"), "t|t");
  EXPECT_EQ(render(shows, R"({"messages": [{"role": "assistant", "content": "c"}]})"), "|");
}

TEST(ChatTemplateTest, ShowsTheGivenTime) {
  EXPECT_EQ(ChatTemplate("{{ strftime_now('%Y-%m-%d') }}", "", "")
                .render(boost::json::parse(R"({"messages": []})"), 86'400 * 365),
            "1971-01-01");
}

TEST(ChatTemplateTest, SaysWhatIsWrong) {
  EXPECT_EQ(error_of("{{ raise_exception('roles must alternate') }}", R"({"messages": []})"),
            "chat template, line 1: roles must alternate");
  EXPECT_EQ(error_of("x", R"({"prompt": "x"})"), "a chat request is an object whose \"messages\" is a list");
  EXPECT_EQ(error_of("x", R"({"messages": ["hi"]})"),
            "messages[0]: a message is an object with \"role\" and \"content\"");
  EXPECT_EQ(error_of("{% include 'x' %}", R"({"messages": []})"),
            "chat template, line 1: {% include %} asks for another template, and a chat template stands alone");
  EXPECT_EQ(error_of("\xff", R"({"messages": []})"),
            "the chat template is not valid UTF-8; the model file is damaged or mislabelled");
}

}  // namespace
}  // namespace terrace
