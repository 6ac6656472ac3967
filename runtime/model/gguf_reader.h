// Parses one GGUF file in memory: the checks behind GgufFile. Pure function of its bytes, any thread.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/gguf.h"

namespace terrace {

struct GgufPart {
  std::map<std::string_view, GgufValue> metadata;
  std::vector<GgufTensor> tensors;  // in file order
};

/// `name` is for messages. Views point into `bytes`. Throws kModelCorrupt or kModelUnsupported, nothing else.
GgufPart parse_gguf(std::span<const std::byte> bytes, const std::string& name);

/// A string of the file for a message: quoted, shortened, unprintable bytes as \xNN.
std::string quote_for_message(std::string_view text);

}  // namespace terrace
