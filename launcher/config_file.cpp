#include "launcher/config_file.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "kernels/base/error.h"
#include "launcher/config_path.h"
#include "launcher/config_schema.h"
#include "launcher/suggest.h"

namespace terrace {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;  // a configuration is a page of text; a larger file is something else

[[noreturn]] void fail(const std::string& place, const std::string& what) {
  throw Error(ErrorCode::kInvalidValue, fmt::format("{}: {}", place, what));
}

/// As the user wrote it, made fit for one line of a terminal.
std::string printable(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 60)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (text.size() > 60 ? "...'" : "'");
}

std::string place_of(const std::string& name, const YAML::Mark& mark) {
  return fmt::format("{}:{}:{}", name, mark.line + 1, mark.column + 1);
}

// Notes where the first node of a document stands; all other events pass by.
class FirstNode : public YAML::EventHandler {
 public:
  std::optional<YAML::Mark> mark;

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& at, YAML::anchor_t) override { note(at); }
  void OnAlias(const YAML::Mark& at, YAML::anchor_t) override { note(at); }
  void OnScalar(const YAML::Mark& at, const std::string&, YAML::anchor_t, const std::string&) override { note(at); }
  void OnSequenceStart(const YAML::Mark& at, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override { note(at); }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& at, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override { note(at); }
  void OnMapEnd() override {}

 private:
  void note(const YAML::Mark& at) {
    if (!mark) mark = at;
  }
};

// Where a second document begins. YAML::LoadAll would tell, but yaml-cpp 0.7 never returns from it for some damaged texts ("!:,-'").
std::optional<YAML::Mark> second_document(std::string_view text) {
  std::istringstream stream{std::string(text)};
  YAML::Parser parser(stream);
  FirstNode first;
  if (!parser.HandleNextDocument(first)) return std::nullopt;
  FirstNode second;
  parser.HandleNextDocument(second);
  return second.mark;
}

class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  void read_yaml(std::string_view text);
  void read_set(const std::string& assignment);
  void use_model(const std::string& path) { assign("model.path", path, "the command line"); }
  /// Turns paths into such as can be opened; refuses a configuration without a model.
  LoadedConfig finish();

 private:
  void read_mapping(const YAML::Node& mapping, const std::string& prefix);
  void read_entry(const std::string& path, const std::string& key_place, const YAML::Node& value);
  void assign(const std::string& path, std::string_view text, const std::string& place);

  std::string name_;
  LoadedConfig loaded_;
};

void Reader::read_yaml(std::string_view text) {
  YAML::Node document;
  std::optional<YAML::Mark> second;
  try {
    document = YAML::Load(std::string(text));
    second = second_document(text);
  } catch (const YAML::Exception& error) {
    fail(place_of(name_, error.mark), "this is not YAML: " + error.msg);
  }
  if (second) fail(place_of(name_, *second), "a configuration is one YAML document; here a second one begins");
  if (document.IsNull()) return;
  if (!document.IsMap()) fail(place_of(name_, document.Mark()), "expected keys with values, such as 'model:'");
  read_mapping(document, "");
}

void Reader::read_mapping(const YAML::Node& mapping, const std::string& prefix) {
  std::map<std::string, std::string> seen;  // key -> place
  for (const auto& entry : mapping) {
    const std::string place = place_of(name_, entry.first.Mark());
    if (!entry.first.IsScalar()) fail(place, "expected the name of a key");
    const std::string& key = entry.first.Scalar();
    const auto [first, is_new] = seen.emplace(key, place);
    if (!is_new) fail(place, fmt::format("{} is given twice; the first time is at {}", printable(prefix + key), first->second));
    if (key.find('.') != key.npos) fail(place, fmt::format("{}: keys are nested in a file, each part on a line of its own", printable(key)));
    read_entry(prefix + key, place, entry.second);
  }
}

void Reader::read_entry(const std::string& path, const std::string& key_place, const YAML::Node& value) {
  if (is_config_section(path)) {
    if (!value.IsMap()) fail(key_place, fmt::format("'{}' is a section: expected keys below it, indented", path));
    return read_mapping(value, path + ".");
  }
  const ConfigKey* key = find_config_key(path);
  if (key == nullptr) {
    throw Error(ErrorCode::kUnknownKey, fmt::format("{}: unknown key {}{}", key_place, printable(path), suggest_config_key(path)));
  }
  if (value.IsNull()) fail(key_place, fmt::format("'{}' has no value: expected {}", path, key->type.expected));
  const std::string place = place_of(name_, value.Mark());
  if (!value.IsScalar()) fail(place, fmt::format("{}: expected {}, found {}", path, key->type.expected, value.IsMap() ? "keys" : "a list"));
  const std::string& tag = value.Tag();  // yaml-cpp: "?" plain, "!" quoted, else written out
  if (tag == "!" && !key->type.takes_quoted) {
    fail(place, fmt::format("{}: expected {}, found text in quotes; leave the quotes out", path, key->type.expected));
  }
  if (tag != "?" && tag != "!") fail(place, fmt::format("{}: expected {}, found the tag {}", path, key->type.expected, printable(tag)));
  assign(path, value.Scalar(), place);
}

void Reader::read_set(const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == assignment.npos || equals == 0) fail("--set " + assignment, "expected key.path=value, such as cache.page_tokens=32");
  const std::string path = assignment.substr(0, equals);
  if (is_config_section(path)) fail("--set " + assignment, fmt::format("'{}' is a section: name one of its keys", path));
  if (find_config_key(path) == nullptr) {
    throw Error(ErrorCode::kUnknownKey, fmt::format("--set {}: unknown key {}{}", assignment, printable(path), suggest_config_key(path)));
  }
  assign(path, std::string_view(assignment).substr(equals + 1), "--set");
}

void Reader::assign(const std::string& path, std::string_view text, const std::string& place) {
  const ConfigKey& key = *find_config_key(path);
  if (!key.type.set(loaded_.config, text)) {
    fail(place, fmt::format("{}: expected {}, found {}{}", path, key.type.expected, printable(text), did_you_mean(text, key.type.choices)));
  }
  loaded_.origins[path] = place;
}

LoadedConfig Reader::finish() {
  if (loaded_.config.model.path.empty() && loaded_.config.model.load == "file") {
    fail(name_, "model.path is missing: name a GGUF file there, or say 'load: dummy' for random weights");
  }
  for (const auto& [path, origin] : loaded_.origins) {
    const ConfigType& type = find_config_key(path)->type;
    if (type.path == PathBase::kNotAPath) continue;
    const bool by_file = type.path == PathBase::kConfigFolder && origin.starts_with(name_ + ":");
    type.set(loaded_.config, expand_path(type.show(loaded_.config), by_file ? std::filesystem::path(name_).parent_path().string() : "", fmt::format("{}: {}", origin, path)));
  }
  return std::move(loaded_);
}

bool has_model_magic(std::ifstream& file) {
  char magic[4] = {};
  file.read(magic, sizeof(magic));
  const bool found = file.gcount() == sizeof(magic) && std::string_view(magic, sizeof(magic)) == "GGUF";
  file.clear();
  file.seekg(0);
  return found;
}

/// A model file instead of a configuration: everything else has its default.
LoadedConfig model_only(const std::string& path, std::span<const std::string> sets) {
  Reader reader(path);
  reader.use_model(path);
  for (const std::string& assignment : sets) reader.read_set(assignment);
  return reader.finish();
}

std::string read_text(const std::string& path, std::ifstream& file) {
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) fail(path, "over 1 MiB, so it is neither a configuration nor a GGUF model file");
  return text;
}

}  // namespace

LoadedConfig parse_config(std::string_view yaml, const std::string& name, std::span<const std::string> sets) {
  Reader reader(name);
  reader.read_yaml(yaml);
  for (const std::string& assignment : sets) reader.read_set(assignment);
  return reader.finish();
}

LoadedConfig load_config(const std::string& path, std::span<const std::string> sets) {
  if (path.ends_with(".gguf")) return model_only(path, sets);  // opening it is the model reader's business, and so are its errors
  if (std::filesystem::is_directory(path)) fail(path, "this is a folder; expected a YAML file or a GGUF model file");
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const std::string reason = std::generic_category().message(errno);
    fail(path, fmt::format("cannot be opened ({}); expected a YAML file or a GGUF model file", reason));
  }
  if (has_model_magic(file)) return model_only(path, sets);
  return parse_config(read_text(path, file), path, sets);
}

std::string model_file_of(const Config& config, std::string_view verb) {
  if (config.model.load == "dummy") {
    throw Error(ErrorCode::kInvalidValue, fmt::format("a dummy model has no tokenizer: terrace {} needs a model file", verb));
  }
  return config.model.path;
}

std::string explain_config(const LoadedConfig& loaded) {
  std::string out;
  std::string section;  // of the line before
  for (const ConfigKey& key : config_keys()) {
    const size_t last_dot = key.path.rfind('.');
    const std::string_view prefix = last_dot == key.path.npos ? "" : key.path.substr(0, last_dot);
    if (prefix != section && !prefix.empty()) {
      const size_t dot = prefix.rfind('.');
      out += fmt::format("{}{}:\n", dot == prefix.npos ? "" : "  ", prefix.substr(dot == prefix.npos ? 0 : dot + 1));
    }
    section = prefix;
    const int depth = prefix.empty() ? 0 : prefix.find('.') == prefix.npos ? 2 : 4;
    const std::string value = key.type.show(loaded.config);
    const std::string line = fmt::format("{:{}}{}: {}", "", depth, key.path.substr(last_dot + 1), value.empty() ? "\"\"" : value);
    const auto origin = loaded.origins.find(key.path);
    out += fmt::format("{:<44}  # {}\n", line, origin == loaded.origins.end() ? "default" : origin->second);
  }
  return out;
}

}  // namespace terrace
