#include "launcher/inspect.h"

#include "launcher/config_file.h"
#include "launcher/stdio.h"
#include "runtime/model/gguf.h"
#include "runtime/model/inspect.h"

namespace terrace {

int inspect(const std::string& config, const std::vector<std::string>& sets) {
  const GgufFile file = GgufFile::open(model_file_of(load_config(config, sets).config, "inspect"));
  write_stdout(inspect_model(file));
  return 0;
}

}  // namespace terrace
