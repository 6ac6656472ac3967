#include "launcher/render.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>

#include "kernels/base/error.h"
#include "launcher/config_file.h"
#include "launcher/stdio.h"
#include "runtime/model/gguf.h"
#include "runtime/text/chat_prompt.h"

namespace terrace {
namespace {

namespace json = boost::json;

/// A template and, where it comes from a model, the model's tokenizer.
struct Renderer {
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;
  int64_t now = 0;
  bool ids = false;

  std::string operator()(const json::value& request) const;
};

std::string Renderer::operator()(const json::value& request) const {
  if (!request.is_object()) throw Error(ErrorCode::kInvalidValue, "a chat request is a JSON object with \"messages\"");
  std::string text = chat_template->render(request, now);
  if (!ids) return text;
  const std::vector<int32_t> tokens = encode_chat_prompt(*tokenizer, text);
  return json::serialize(json::value_from(tokens));
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorCode::kInvalidValue, fmt::format("{}: the template cannot be opened", path));
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Renderer make_renderer(const RenderOptions& options) {
  Renderer renderer;
  renderer.now = options.now ? parse_local_time(*options.now) : std::time(nullptr);
  renderer.ids = options.ids;
  if (options.config.empty()) {
    if (options.template_file.empty()) throw Error(ErrorCode::kInvalidValue, "name a configuration or a model, or give --template FILE");
    if (options.ids) throw Error(ErrorCode::kInvalidValue, "--ids needs a model's tokenizer: name a configuration or a model");
    renderer.chat_template = std::make_unique<ChatTemplate>(read_file(options.template_file), options.bos, options.eos);
    return renderer;
  }
  const std::string model = model_file_of(load_config(options.config, options.sets).config, "render");
  const GgufFile file = GgufFile::open(model);
  renderer.tokenizer = make_tokenizer(file);
  if (!options.template_file.empty()) {
    renderer.chat_template = std::make_unique<ChatTemplate>(read_file(options.template_file), options.bos, options.eos);
  } else {
    renderer.chat_template = read_chat_template(file, *renderer.tokenizer);
  }
  if (!renderer.chat_template) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("{} carries no chat template; give one with --template FILE", model));
  }
  return renderer;
}

json::value parse_request(std::string_view text) {
  json::error_code error;
  json::value value = json::parse(text, error);
  if (error) throw Error(ErrorCode::kInvalidValue, "the chat request is not JSON: " + error.message());
  return value;
}

std::string render_line(const Renderer& renderer, std::string_view line) {
  try {
    const std::string result = renderer(parse_request(line));
    return renderer.ids ? result : json::serialize(json::string(result));
  } catch (const Error& error) {
    return json::serialize(json::object{{"error", error.what()}});
  }
}

}  // namespace

int64_t parse_local_time(const std::string& text) {
  std::tm time = {};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  if (end == nullptr || *end != '\0') {
    throw Error(ErrorCode::kInvalidValue, fmt::format("--now: expected a time like 2025-03-14T09:26:53, found '{}'", text));
  }
  time.tm_isdst = -1;
  return std::mktime(&time);
}

int render(const RenderOptions& options) {
  const Renderer renderer = make_renderer(options);
  const std::string input = read_stdin();
  if (!options.json_lines) {
    write_stdout(renderer(parse_request(input)));
    return 0;
  }
  for (std::string_view rest = input; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    if (!line.empty()) write_stdout(render_line(renderer, line) + "\n");
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return 0;
}

}  // namespace terrace
