// The report of `terrace inspect MODEL`: what a model file holds, for people. Reads the file only. Any thread.
#pragma once

#include <string>

#include "runtime/model/gguf.h"

namespace terrace {

/// Lines of text: file, architecture and shapes, parameters, quantisation mix, tokenizer, chat template. A model that terrace cannot run is
/// reported as far as it can be read, with the reason.
std::string inspect_model(const GgufFile& file);

}  // namespace terrace
