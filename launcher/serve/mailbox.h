// What the step thread has for the HTTP side of one request. The step thread puts, the connection takes; neither waits for the other, and what lies here is
// bounded by what the request may generate.
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "launcher/api/api_error.h"
#include "launcher/serve/request_times.h"
#include "runtime/request.h"

namespace terrace {

class Mailbox {
 public:
  struct Item {
    int32_t choice = 0;
    SequenceEvent event;
  };
  struct Mail {
    std::vector<Item> items;
    RequestTimes times;             // up to them
    std::optional<ApiError> error;  // nothing comes after it
  };
  /// `wake` tells the connection to look; called on the step thread, must not block.
  explicit Mailbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  void put(std::vector<Item> items, const RequestTimes& times) {
    {
      const std::lock_guard lock(mutex_);
      mail_.times = times;
      std::move(items.begin(), items.end(), std::back_inserter(mail_.items));
    }
    wake_();
  }
  void fail(ApiError error) {
    {
      const std::lock_guard lock(mutex_);
      mail_.error = std::move(error);
    }
    wake_();
  }
  Mail take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(mail_, {});
  }
  /// Nothing lies here that nobody has taken.
  bool empty() const {
    const std::lock_guard lock(mutex_);
    return mail_.items.empty() && !mail_.error;
  }

 private:
  std::function<void()> wake_;
  mutable std::mutex mutex_;
  Mail mail_;
};

}  // namespace terrace
