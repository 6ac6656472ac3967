#include "launcher/serve/loop_runner.h"

#include <chrono>
#include <utility>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr int32_t kAfterAllOthers = 1 << 20;
constexpr auto kPause = std::chrono::milliseconds(100);

}  // namespace

LoopRunner::~LoopRunner() {
  for (const auto& [id, open] : open_) loop_.cancel(open.job);
}

SequenceId LoopRunner::submit(Request request) {
  backlog_.emplace(++last_id_, std::move(request));
  return last_id_;
}

void LoopRunner::cancel(SequenceId id) {
  backlog_.erase(id);
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  loop_.cancel(found->second.job);
  open_.erase(found);
}

void LoopRunner::finish(SequenceId id) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  loop_.cancel_choice(found->second.job, 0);
  open_.erase(found);
}

void LoopRunner::fill_up() {
  const auto wake = [news = news_] {
    const std::lock_guard lock(news->mutex);
    news->any = true;
    news->came.notify_one();
  };
  while (!backlog_.empty() && open_.size() < max_open_) {
    const auto first = backlog_.begin();
    Job job;
    job.choices.push_back(first->second);
    job.owner = owner_;
    job.priority = kAfterAllOthers;
    job.mailbox = std::make_shared<Mailbox>(wake);
    const auto mailbox = job.mailbox;
    try {
      const JobId id = loop_.submit(std::move(job));
      open_.emplace(first->first, Open{id, mailbox});
    } catch (const ApiError& error) {
      if (error.status() != 429) throw Error(ErrorCode::kCancelled, error.what());
      return;  // the queue is full of requests that somebody waits for
    }
    backlog_.erase(first);
  }
}

std::vector<SequenceEvent> LoopRunner::step() {
  fill_up();
  {
    std::unique_lock lock(news_->mutex);
    news_->came.wait_for(lock, kPause, [this] { return news_->any; });
    news_->any = false;
  }
  std::vector<SequenceEvent> events;
  for (auto it = open_.begin(); it != open_.end();) {
    Mailbox::Mail mail = it->second.mailbox->take();
    if (mail.error) throw Error(ErrorCode::kCancelled, mail.error->what());
    bool ended = false;
    for (Mailbox::Item& item : mail.items) {
      item.event.id = it->first;
      ended = item.event.finish != FinishReason::kNone;
      events.push_back(std::move(item.event));
    }
    it = ended ? open_.erase(it) : std::next(it);
  }
  return events;
}

}  // namespace terrace
