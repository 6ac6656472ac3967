#include "launcher/config_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kernels/base/error.h"
#include "launcher/config_schema.h"

namespace terrace {
namespace {

constexpr const char* kModel = "model: {path: /models/x.gguf}\n";

LoadedConfig parse(const std::string& yaml, const std::vector<std::string>& sets = {}) { return parse_config(yaml, "dir/a.yaml", sets); }

std::string error_of(const std::string& yaml, const std::vector<std::string>& sets = {}) {
  try {
    parse(yaml, sets);
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::kInvalidValue || error.code() == ErrorCode::kUnknownKey);
    return error.what();
  }
  return "no error";
}

/// A value for each key that is not its default.
const std::vector<std::pair<std::string, std::string>> kOtherValues = {
    {"model.path", "/models/other.gguf"},
    {"model.load", "dummy"},
    {"model.geometry.layers", "3"},
    {"model.geometry.hidden_size", "128"},
    {"model.geometry.heads", "8"},
    {"model.geometry.kv_heads", "2"},
    {"model.geometry.head_dim", "16"},
    {"model.geometry.ffn_size", "256"},
    {"model.geometry.vocab_size", "1024"},
    {"model.geometry.context_length", "128"},
    {"model.geometry.rope_base", "500000"},
    {"model.geometry.format", "Q8_0"},
    {"backend", "cpu"},
    {"parallel.ranks", "4"},
    {"parallel.threads", "2"},
    {"comm.pretend_hosts", "2"},
    {"numerics", "invariant"},
    {"graphs", "false"},
    {"cache.enabled", "false"},
    {"cache.page_tokens", "32"},
    {"cache.format", "BF16"},
    {"cache.device", "3GiB"},
    {"cache.prefixes", "false"},
    {"cache.host", "2GiB"},
    {"cache.disk.path", "/tmp/pages"},
    {"cache.disk.size", "4GiB"},
    {"cache.disk.io", "threads"},
    {"server.host", "0.0.0.0"},
    {"server.port", "9000"},
    {"server.threads", "2"},
    {"server.model_name", "mine"},
    {"server.max_connections", "10"},
    {"server.max_body", "1MiB"},
    {"server.max_bodies", "64MiB"},
    {"server.max_queued", "5"},
    {"server.idle_seconds", "7"},
    {"server.drain_seconds", "3"},
    {"server.api_keys", "keys.txt"},
    {"server.files", "files"},
    {"server.cors_origin", "https://a.example"},
    {"server.certificate", "cert.pem"},
    {"server.private_key", "key.pem"},
    {"server.access_log", "false"},
    {"cache.host_format", "Q8"},
    {"cache.in_place", "true"},
    {"cache.fetch", "never"},
    {"cache.policy", "lru"},
    {"cache.link.bandwidth", "1GiB"},
    {"cache.link.latency_us", "20"},
    {"trace", "trace.json"},
    {"attention.window", "1024"},
    {"attention.sinks", "0"},
    {"attention.sparse.mode", "top"},
    {"attention.sparse.pages", "32"},
    {"attention.sparse.epsilon", "0.125"},
    {"attention.sparse.first_layers", "1"},
    {"attention.sparse.sink_pages", "2"},
    {"attention.sparse.recent_pages", "3"},
    {"attention.sparse.prompts_from", "100"},
    {"scheduler.max_tokens_per_step", "100"},
    {"scheduler.max_sequences", "7"},
    {"sampling.temperature", "0.5"},
    {"sampling.top_p", "0.25"},
    {"sampling.top_k", "40"},
    {"sampling.min_p", "0.125"},
    {"embeddings.pooling", "last"},
};

std::string as_yaml(const std::string& path, const std::string& value) {
  std::string yaml, indent;
  size_t begin = 0;
  for (size_t dot = path.find('.'); dot != path.npos; begin = dot + 1, dot = path.find('.', begin)) {
    yaml += indent + path.substr(begin, dot - begin) + ":\n";
    indent += "  ";
  }
  return yaml + indent + path.substr(begin) + ": " + value + "\n";
}

TEST(ConfigFileTest, EveryKeyIsSetByYamlAndBySet) {
  ASSERT_EQ(kOtherValues.size(), config_keys().size());
  const std::string load_dummy = "model.load=dummy";
  for (const auto& [path, value] : kOtherValues) {
    const ConfigKey* key = find_config_key(path);
    ASSERT_NE(key, nullptr) << path;
    const bool is_load = path == "model.load";
    const LoadedConfig by_yaml = parse(as_yaml(path, value), is_load ? std::vector<std::string>{} : std::vector{load_dummy});
    EXPECT_EQ(key->type.show(by_yaml.config), value) << path;
    EXPECT_TRUE(by_yaml.origins.at(path).starts_with("dir/a.yaml:")) << path;
    const LoadedConfig by_set = parse("", {load_dummy, path + "=" + value});
    EXPECT_EQ(key->type.show(by_set.config), value) << path;
    EXPECT_EQ(by_set.origins.at(path), "--set") << path;
  }
}

TEST(ConfigFileTest, EveryDefaultIsAValueThatItsKeyTakes) {
  const std::set<std::string_view> takes_any_text = {"server.host", "server.model_name", "server.cors_origin"};
  for (const ConfigKey& key : config_keys()) {
    Config config;
    const std::string shown = key.type.show(config);
    if (!shown.empty()) {
      EXPECT_TRUE(key.type.set(config, shown)) << key.path;
      EXPECT_EQ(key.type.show(config), shown) << key.path;
    }
    EXPECT_FALSE(key.type.set(config, "")) << key.path;
    if (!key.type.expected.starts_with("the path of") && !takes_any_text.contains(key.path)) {
      EXPECT_FALSE(key.type.set(config, "nonsense")) << key.path;
    }
  }
}

TEST(ConfigFileTest, SetWinsOverTheFile) {
  const LoadedConfig loaded = parse(std::string(kModel) + "cache: {page_tokens: 64}\n", {"cache.page_tokens=32"});
  EXPECT_EQ(loaded.config.cache.page_tokens, 32);
  EXPECT_EQ(loaded.origins.at("cache.page_tokens"), "--set");
  EXPECT_EQ(loaded.origins.at("model.path"), "dir/a.yaml:1:15");
}

TEST(ConfigFileTest, ReadsSizesAndShares) {
  const auto device = [](const std::string& text) { return parse(kModel, {"cache.device=" + text}).config.cache.device; };
  EXPECT_EQ(device("2GiB").bytes, int64_t{2} << 30);
  EXPECT_EQ(device("1.5 MiB").bytes, 3 << 19);
  EXPECT_EQ(device("3GB").bytes, 3'000'000'000);
  EXPECT_EQ(device("12.5%").percent, 12.5);
  for (const char* bad : {"2", "2GiBs", "-1GiB", "0GiB", "101%", "0%", "nan%", "GiB", "1e3MiB", "99999999TiB"}) {
    EXPECT_NE(error_of(kModel, {std::string("cache.device=") + bad}).find("a size like"), std::string::npos) << bad;
  }
}

TEST(ConfigFileTest, MessagesNamePlaceExpectationAndWayOut) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"cache:\n  pgae_tokens: 16\n", "dir/a.yaml:2:3: unknown key 'cache.pgae_tokens'; did you mean 'cache.page_tokens'?"},
      {"page_tokens: 16\n", "dir/a.yaml:1:1: unknown key 'page_tokens'; did you mean 'cache.page_tokens'?"},
      {"modle: {}\n", "dir/a.yaml:1:1: unknown key 'modle'; did you mean 'model'?"},
      {"zebra: 1\n", "dir/a.yaml:1:1: unknown key 'zebra'"},
      {"cache: {page_tokens: 17}\n", "dir/a.yaml:1:22: cache.page_tokens: expected a power of two from 1 to 256, found '17'"},
      {"cache: {page_tokens: \"16\"}\n",
       "dir/a.yaml:1:22: cache.page_tokens: expected a power of two from 1 to 256, found text in quotes; leave the quotes out"},
      {"cache: {page_tokens: [16]}\n", "dir/a.yaml:1:22: cache.page_tokens: expected a power of two from 1 to 256, found a list"},
      {"cache: {page_tokens: }\n", "dir/a.yaml:1:9: 'cache.page_tokens' has no value: expected a power of two from 1 to 256"},
      {"cache: {format: f61}\n", "dir/a.yaml:1:17: cache.format: expected one of F16, BF16, F32, Q8, Q8/F16, Q4, Q8/Q4, F8, found 'f61'; did you mean 'F16'?"},
      {"model: {load: flie}\n", "dir/a.yaml:1:15: model.load: expected one of file, dummy, found 'flie'; did you mean 'file'?"},
      {"numerics: quick\n", "dir/a.yaml:1:11: numerics: expected one of auto, invariant, fast, found 'quick'"},
      {"cache: 16\n", "dir/a.yaml:1:1: 'cache' is a section: expected keys below it, indented"},
      {"cache: {enabled: yes}\n", "dir/a.yaml:1:18: cache.enabled: expected true or false, found 'yes'"},
      {"cache.enabled: true\n", "dir/a.yaml:1:1: 'cache.enabled': keys are nested in a file, each part on a line of its own"},
      {"backend: cpu\nbackend: cpu\n", "dir/a.yaml:2:1: 'backend' is given twice; the first time is at dir/a.yaml:1:1"},
      {"!:,-'", "dir/a.yaml:1:3: a configuration is one YAML document; here a second one begins"},  // LoadAll of yaml-cpp 0.7 never returns from it
      {"backend: cpu\n---\nbackend: cpu\n", "dir/a.yaml:3:1: a configuration is one YAML document; here a second one begins"},
      {"- a\n", "dir/a.yaml:1:1: expected keys with values, such as 'model:'"},
      {"a: [1\n", "dir/a.yaml:2:1: this is not YAML: end of sequence flow not found"},
      {"sampling: {top_p: 0}\n", "dir/a.yaml:1:19: sampling.top_p: expected a number above 0, at most 1, found '0'"},
      {"sampling: {temperature: .nan}\n", "dir/a.yaml:1:25: sampling.temperature: expected a number from 0, at most 100, found '.nan'"},
      {"parallel: {threads: 0}\n",
       "dir/a.yaml:1:21: parallel.threads: expected auto, or a whole number from 1 to 1024, found '0'"},
      {"parallel: {ranks: 99999999999999999999}\n",
       "dir/a.yaml:1:19: parallel.ranks: expected a whole number from 1 to 4096, found '99999999999999999999'"},
      {"parallel: {ranks: !!int 3}\n",
       "dir/a.yaml:1:19: parallel.ranks: expected a whole number from 1 to 4096, found the tag 'tag:yaml.org,2002:int'"},
      {"", "dir/a.yaml: model.path is missing: name a GGUF file there, or say 'load: dummy' for random weights"},
      {"model: {path: '${TERRACE_NO_SUCH}/x'}\n",
       "dir/a.yaml:1:15: model.path: the environment variable TERRACE_NO_SUCH is not set; set it or write the path out"},
  };
  for (const auto& [yaml, message] : cases) EXPECT_EQ(error_of(yaml), message) << yaml;
}

TEST(ConfigFileTest, SetMessagesQuoteTheOption) {
  EXPECT_EQ(error_of(kModel, {"cache"}), "--set cache: expected key.path=value, such as cache.page_tokens=32");
  EXPECT_EQ(error_of(kModel, {"cache=1"}), "--set cache=1: 'cache' is a section: name one of its keys");
  EXPECT_EQ(error_of(kModel, {"cache.formt=F16"}), "--set cache.formt=F16: unknown key 'cache.formt'; did you mean 'cache.format'?");
  EXPECT_EQ(error_of(kModel, {"parallel.ranks=two"}), "--set: parallel.ranks: expected a whole number from 1 to 4096, found 'two'");
}

TEST(ConfigFileTest, ModelPathIsRelativeToTheFileThatNamesIt) {
  EXPECT_EQ(parse("model: {path: ../m/x.gguf}").config.model.path, "m/x.gguf");
  EXPECT_EQ(parse("model: {path: /m/x.gguf}").config.model.path, "/m/x.gguf");
  EXPECT_EQ(parse("", {"model.path=m/x.gguf"}).config.model.path, "m/x.gguf");
  ::setenv("HOME", "/home/me", 1);
  ::unsetenv("TERRACE_CACHE");
  EXPECT_EQ(parse("model: {path: ~/x.gguf}").config.model.path, "/home/me/x.gguf");
  EXPECT_EQ(parse("model: {path: '${TERRACE_CACHE}/x.gguf'}").config.model.path, "/home/me/.cache/terrace/x.gguf");
  ::setenv("TERRACE_CACHE", "/cache", 1);
  EXPECT_EQ(parse("model: {path: '${TERRACE_CACHE}/x.gguf'}").config.model.path, "/cache/x.gguf");
}

TEST(ConfigFileTest, OtherPathsAreRelativeToTheCurrentFolderAndExpandedToo) {
  ::setenv("HOME", "/home/me", 1);
  ::setenv("TERRACE_CACHE", "/cache", 1);
  ::unsetenv("TERRACE_NO_SUCH");
  EXPECT_EQ(parse(kModel, {"cache.disk.path=${TERRACE_CACHE}/pages"}).config.cache.disk.path, "/cache/pages");
  const Config config = parse("model: {path: x.gguf}\ntrace: traces/a.json\nserver: {api_keys: ~/keys, certificate: a.pem}").config;
  EXPECT_EQ(config.trace, "traces/a.json");
  EXPECT_EQ(config.server.api_keys, "/home/me/keys");
  EXPECT_EQ(config.server.certificate, "a.pem");
  EXPECT_EQ(config.server.files, "none");
  EXPECT_EQ(error_of(kModel, {"trace=${TERRACE_NO_SUCH}/a"}), "--set: trace: the environment variable TERRACE_NO_SUCH is not set; set it or write the path out");
  EXPECT_EQ(error_of(kModel, {"trace=${TERRACE_NO_SUCH}/a", "trace=none"}), "no error");
}

TEST(ConfigFileTest, SizesThatNoShareCanBeOfTakeNone) {
  for (const std::string key : {"cache.disk.size", "cache.link.bandwidth", "server.max_body", "server.max_bodies"}) {
    EXPECT_NE(error_of(kModel, {key + "=60%"}).find("expected a size like 512MiB or 2GiB"), std::string::npos) << key;
    EXPECT_EQ(error_of(kModel, {key + "=0"}) == "no error", key != "server.max_body") << key;
  }
}

TEST(ConfigFileTest, TakesAModelFileForAConfiguration) {
  const std::string folder = ::testing::TempDir();
  const std::string odd_name = folder + "config_file_test_model." + std::to_string(getpid());
  std::ofstream(odd_name, std::ios::binary) << "GGUF....";
  EXPECT_EQ(load_config(odd_name, {}).config.model.path, odd_name);
  const std::vector<std::string> sets{"cache.page_tokens=8"};
  const LoadedConfig missing = load_config("/no/such/model.gguf", sets);  // opening it is not the configuration's business
  EXPECT_EQ(missing.config.cache.page_tokens, 8);
  EXPECT_EQ(missing.origins.at("model.path"), "the command line");
  std::filesystem::remove(odd_name);
}

TEST(ConfigFileTest, RefusesWhatIsNoConfiguration) {
  const auto message = [](const std::string& path) {
    try {
      load_config(path, {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message("/no/such.yaml"), "/no/such.yaml: cannot be opened (No such file or directory); expected a YAML file or a GGUF model file");
  EXPECT_EQ(message("/tmp"), "/tmp: this is a folder; expected a YAML file or a GGUF model file");
}

TEST(ConfigFileTest, ExplanationIsItselfAConfigurationWithOrigins) {
  const LoadedConfig loaded = parse("cache:\n  format: BF16\n", {"model.path=/m/x.gguf", "sampling.top_k=3"});
  const std::string text = explain_config(loaded);
  EXPECT_NE(text.find("\n  format: BF16                                # dir/a.yaml:2:11\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  top_k: 3                                    # --set\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n    layers: 2                                 # default\n"), std::string::npos) << text;
  const LoadedConfig again = parse(text);
  for (const ConfigKey& key : config_keys()) EXPECT_EQ(key.type.show(again.config), key.type.show(loaded.config)) << key.path;
}

TEST(ConfigFileTest, ReferencePageIsTrue) {
  const std::string path = std::string(TERRACE_SOURCE_DIR) + "/docs/config.md";
  std::ifstream file(path);
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(page == config_reference()) << "run: terrace --config-keys > docs/config.md";
}

TEST(ConfigFileTest, EveryShippedConfigurationLoads) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(TERRACE_SOURCE_DIR) + "/configs")) {
    if (entry.is_directory()) continue;  // deploy/: for others' programs, tested in e2e
    EXPECT_NO_THROW(load_config(entry.path().string(), {})) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 3);
}

}  // namespace
}  // namespace terrace
