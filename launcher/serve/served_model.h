// What answering a request takes, once the model is loaded. Immutable; any thread. Everything it points to outlives the HTTP server.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/config.h"
#include "runtime/pooling.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"

namespace terrace {

class BatchJobs;
class EngineLoop;
class FileStore;
class GrammarCompiler;

struct ServedModel {
  std::string name;
  int64_t created = 0;  // seconds since 1970
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;  // nullptr: the model carries none
  SamplingSection defaults;
  Pooling pooling = Pooling::kMean;  // of embeddings, where the request names none
  int32_t hidden_size = 0;
  int32_t max_sequence_tokens = 0;
  int32_t max_sequences = 0;
  GrammarCompiler* grammars = nullptr;
  EngineLoop* loop = nullptr;
  FileStore* files = nullptr;  // nullptr: no files and batches
  BatchJobs* batches = nullptr;
};

}  // namespace terrace
