#include "runtime/sampling/mask_maker.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace terrace {

struct MaskMaker::Job {
  std::shared_ptr<TokenConstraint> constraint;
  int32_t token = -1;  // to accept first; < 0: none
  TokenMask mask;
  bool made = false;   // guarded by the thread's mutex; the rest is the thread's until it is set
};

class MaskMaker::Thread {
 public:
  Thread() : thread_([this] { run(); }) {}
  ~Thread() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wanted_.notify_one();
    thread_.join();
  }

  void want(std::shared_ptr<Job> job) {
    {
      const std::lock_guard lock(mutex_);
      job->made = false;
      queue_.push_back(std::move(job));
    }
    wanted_.notify_one();
  }

  void wait(const Job& job) {
    std::unique_lock lock(mutex_);
    made_.wait(lock, [&] { return job.made; });
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      wanted_.wait(lock, [&] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      const std::shared_ptr<Job> job = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      make(*job);
      lock.lock();
      job->made = true;
      made_.notify_one();
    }
  }

  // One request's grammar must not end the job.
  static void make(Job& job) {
    try {
      if (job.token >= 0) job.constraint->accept(job.token);
      job.constraint->fill(job.mask);
    } catch (const std::exception& error) {
      job.mask = {.words = {}, .may_end = false, .problem = error.what()};
    }
  }

  std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable made_;
  std::deque<std::shared_ptr<Job>> queue_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses the others
};

MaskMaker::MaskMaker() = default;
MaskMaker::~MaskMaker() = default;

void MaskMaker::begin(SequenceId id, std::shared_ptr<TokenConstraint> constraint) {
  if (!thread_) thread_ = std::make_unique<Thread>();
  auto job = std::make_shared<Job>();
  job->constraint = std::move(constraint);
  jobs_[id] = job;
  thread_->want(std::move(job));
}

void MaskMaker::advance(SequenceId id, int32_t token) {
  const std::shared_ptr<Job>& job = jobs_.at(id);
  job->token = token;
  thread_->want(job);
}

const TokenMask* MaskMaker::mask(SequenceId id) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return nullptr;
  thread_->wait(*it->second);
  return &it->second->mask;
}

void MaskMaker::end(SequenceId id) { jobs_.erase(id); }

}  // namespace terrace
