// What a rank still does before its process is ended because another one died: a server tells its clients. Any thread.
#pragma once

#include <functional>
#include <mutex>
#include <utility>

namespace terrace {

class LastWords {
 public:
  /// `words` run at most once, on a thread of comm's, and must end within a second: mpirun kills those who stay. nullptr: none any more.
  void set(std::function<void()> words) {
    const std::lock_guard lock(mutex_);
    words_ = std::move(words);
  }
  void say() {
    const std::lock_guard lock(mutex_);
    if (const auto words = std::exchange(words_, nullptr)) words();
  }

 private:
  std::mutex mutex_;
  std::function<void()> words_;
};

}  // namespace terrace
