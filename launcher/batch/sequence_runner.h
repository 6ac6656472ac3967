// What computes a batch's sequences: the engine itself, or a server's, where they take turns with other requests. One thread.
#pragma once

#include <utility>
#include <vector>

#include "runtime/engine.h"

namespace terrace {

class SequenceRunner {
 public:
  virtual ~SequenceRunner() = default;
  /// Does not wait.
  virtual SequenceId submit(Request request) = 0;
  virtual void cancel(SequenceId id) = 0;
  /// The same for one whose answer is complete: a stop string came.
  virtual void finish(SequenceId id) = 0;
  /// True while any sequence is waiting or running.
  virtual bool busy() const = 0;
  /// What has come of them, after waiting a little where nothing has. Throws Error(kCancelled) where nothing more will come.
  virtual std::vector<SequenceEvent> step() = 0;
  virtual EngineStats stats() const = 0;
};

/// An engine of its own, stepped by step().
class EngineRunner final : public SequenceRunner {
 public:
  explicit EngineRunner(Engine& engine) : engine_(engine) {}
  SequenceId submit(Request request) override { return engine_.submit(std::move(request)); }
  void cancel(SequenceId id) override { engine_.cancel(id); }
  void finish(SequenceId id) override { engine_.cancel(id); }
  bool busy() const override { return engine_.busy(); }
  std::vector<SequenceEvent> step() override { return engine_.step(); }
  EngineStats stats() const override { return engine_.stats(); }

 private:
  Engine& engine_;
};

}  // namespace terrace
