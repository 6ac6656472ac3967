// Any bytes as a configuration: either a Config whose explanation reads back as the same one, or an Error with a sentence.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/base/error.h"
#include "launcher/config_file.h"
#include "launcher/config_schema.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// In the explanation paths are expanded, and a path may hold what YAML reads otherwise: only the rest is compared.
void check_round_trip(const terrace::LoadedConfig& loaded) {
  terrace::LoadedConfig plain = loaded;
  plain.config.model.path = "/model.gguf";
  const terrace::LoadedConfig again = terrace::parse_config(terrace::explain_config({plain.config, {}}), "again.yaml", {});
  for (const terrace::ConfigKey& key : terrace::config_keys()) {
    require(key.type.show(again.config) == key.type.show(plain.config));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    check_round_trip(terrace::parse_config(text, "fuzz.yaml", {}));
  } catch (const terrace::Error& error) {
    require(std::string_view(error.what()).size() > 5);
  }
  const std::string assignment(text.substr(0, text.find('\n')));
  try {
    const std::string sets[] = {"model.load=dummy", assignment};
    check_round_trip(terrace::parse_config("", "fuzz.yaml", sets));
  } catch (const terrace::Error& error) {
    require(std::string_view(error.what()).size() > 5);
  }
  return 0;
}
