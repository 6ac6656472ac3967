// Everything one rank builds from a Config before the first step: model, shard, backend, weights, KV pool, worker; on rank 0
// the engine as well. The verbs `run` and `batch` (and later `serve`) open one in the body given to run_ranks().
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/group.h"
#include "runtime/config.h"
#include "runtime/engine.h"
#include "runtime/memory_planner.h"
#include "runtime/model/model_config.h"

namespace terrace {

class Backend;
class Tokenizer;
class ChatTemplate;

class Session {
 public:
  struct Options {
    bool announce = true;  // start lines on stderr (rank 0): model, backend, bytes per rank, pages
    std::function<void(size_t done, size_t total)> load_progress;
  };
  Session(const Config& config, RankGroup& group, const Options& options);
  ~Session();

  /// Ranks > 0: executes plans until rank 0 stops the engine; may be called again after that. Rank 0 must not call it.
  void follow();
  Engine& engine();                  // rank 0 only
  const ModelConfig& model() const;
  Backend& backend();
  /// How this rank's memory is used; its num_frames is what all ranks agreed on.
  const MemoryPlan& memory() const;
  /// nullptr with model.load: dummy.
  const Tokenizer* tokenizer() const;
  /// nullptr where the model carries no template.
  const ChatTemplate* chat_template() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
