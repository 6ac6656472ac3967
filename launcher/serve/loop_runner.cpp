#include "launcher/serve/loop_runner.h"

#include <chrono>
#include <thread>
#include <utility>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr int32_t kAfterAllOthers = 1 << 20;
constexpr auto kPause = std::chrono::milliseconds(100);

}  // namespace

LoopRunner::~LoopRunner() {
  for (const auto& [id, mailbox] : open_) loop_.cancel(id);
}

SequenceId LoopRunner::submit(Request request) {
  const auto wake = [news = news_] {
    const std::lock_guard lock(news->mutex);
    news->any = true;
    news->came.notify_one();
  };
  const auto mailbox = std::make_shared<Mailbox>(wake);
  while (true) {
    Job job;
    job.choices.push_back(request);
    job.owner = owner_;
    job.priority = kAfterAllOthers;
    job.mailbox = mailbox;
    try {
      const SequenceId id = loop_.submit(std::move(job));
      open_.emplace(id, mailbox);
      return id;
    } catch (const ApiError& error) {
      if (error.status() != 429) throw Error(ErrorCode::kCancelled, error.what());
      std::this_thread::sleep_for(kPause);  // the queue is full of requests that somebody waits for
    }
  }
}

void LoopRunner::cancel(SequenceId id) {
  loop_.cancel(id);
  open_.erase(id);
}

std::vector<SequenceEvent> LoopRunner::step() {
  {
    std::unique_lock lock(news_->mutex);
    news_->came.wait_for(lock, kPause, [this] { return news_->any; });
    news_->any = false;
  }
  std::vector<SequenceEvent> events;
  for (auto it = open_.begin(); it != open_.end();) {
    Mailbox::Mail mail = it->second->take();
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
