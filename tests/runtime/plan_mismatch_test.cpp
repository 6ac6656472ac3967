// LAW 1: a rank whose page tables differ from rank 0's books stops the job, and is named.
#include <gtest/gtest.h>

#include "comm/group.h"
#include "kernels/base/error.h"
#include "runtime/session.h"
#include "runtime/step_plan.h"

namespace terrace {
namespace {

// A rank that hears another frame number than rank 0 said.
class MishearingControl : public Control {
 public:
  explicit MishearingControl(std::unique_ptr<Control> inner) : inner_(std::move(inner)) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  void broadcast(Bytes& bytes) override {
    inner_->broadcast(bytes);
    if (++broadcasts_ != 2) return;  // the first one agrees on the number of pages
    StepPlan plan = decode_plan(bytes);
    plan.frames.at(0).page.frame += 1;
    bytes = encode(plan);
  }
  std::vector<Bytes> gather(std::span<const std::byte> bytes) override { return inner_->gather(bytes); }
  void barrier() override { inner_->barrier(); }
  void abort(ErrorCode code, std::string_view message) override { inner_->abort(code, message); }
  bool aborted() const override { return inner_->aborted(); }
  void set_step(uint64_t step) override { inner_->set_step(step); }

 private:
  std::unique_ptr<Control> inner_;
  int broadcasts_ = 0;
};

TEST(PlanMismatchTest, AFlippedPageTableEntryStopsTheJobWithTheRanksName) {
  Config config;
  config.model.load = "dummy";
  config.parallel.threads = 1;
  config.cache.device = {4 << 20, 0};
  GroupOptions options;
  options.local_ranks = 2;
  options.spin = false;
  std::string message;
  const int code = run_ranks(options, [&](RankGroup& group) {
    if (group.rank == 1) group.control = std::make_unique<MishearingControl>(std::move(group.control));
    Session session(config, group, {.announce = false, .load_progress = {}});
    if (group.rank != 0) {
      session.follow();
      return 0;
    }
    Request request;
    request.prompt = {1, 2, 3};
    session.engine().submit(request);
    try {
      session.engine().step();
    } catch (const Error& error) {
      message = error.what();
      throw;
    }
    return 0;
  });
  EXPECT_EQ(code, 6);
  EXPECT_NE(message.find("rank 1 disagrees with rank 0 about the page tables of step 1"), std::string::npos) << message;
  EXPECT_NE(message.find("slot 0 (sequence 1): 0"), std::string::npos) << message;  // planned
  EXPECT_NE(message.find("slot 0 (sequence 1): 1"), std::string::npos) << message;  // done
}

}  // namespace
}  // namespace terrace
