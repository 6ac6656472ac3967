// Makes the masks of constrained sequences on a thread of its own, while the step runs whose logits they are for. Rank 0; all calls on the step thread.
// A sequence that is preempted keeps its tokens, hence its mask.
#pragma once

#include <memory>
#include <unordered_map>

#include "runtime/request.h"
#include "runtime/sampling/token_constraint.h"

namespace terrace {

class MaskMaker {
 public:
  MaskMaker();
  ~MaskMaker();

  /// The first mask of a sequence is wanted soon.
  void begin(SequenceId id, std::shared_ptr<TokenConstraint> constraint);
  /// `token` came next: the mask after it is wanted soon.
  void advance(SequenceId id, int32_t token);
  /// Waits until it is made. nullptr for a sequence that nothing constrains. Good until advance() or end().
  const TokenMask* mask(SequenceId id);
  /// The sequence has ended. An id that is not known is ignored.
  void end(SequenceId id);

 private:
  struct Job;
  class Thread;

  std::unique_ptr<Thread> thread_;  // from the first begin() on
  std::unordered_map<SequenceId, std::shared_ptr<Job>> jobs_;
};

}  // namespace terrace
