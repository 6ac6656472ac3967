// Who may ask, and how much at a time: a file of lines `NAME KEY [max_running=N] [per_minute=N]`. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace terrace {

class ApiKeys {
 public:
  /// No keys: everybody may ask, as "anonymous".
  ApiKeys() = default;
  /// Throws Error(kInvalidValue) that names the line; keys themselves are never shown.
  static ApiKeys parse(std::string_view text, std::string_view origin);
  static ApiKeys load(const std::string& path);

  bool empty() const { return keys_.empty(); }
  /// The name of the key in `Authorization: Bearer KEY`; nullopt when there is no such key. Takes as long for any wrong key.
  std::optional<std::string> name_of(std::string_view authorization) const;

  /// A request's place among those of its key; gives it back when destroyed.
  class Admission {
   public:
    Admission() = default;
    ~Admission() {
      if (running_ != nullptr) running_->fetch_sub(1);
    }
    Admission(Admission&& other) noexcept : running_(std::exchange(other.running_, nullptr)) {}
    Admission& operator=(Admission&& other) noexcept {
      std::swap(running_, other.running_);
      return *this;
    }

   private:
    friend class ApiKeys;
    explicit Admission(std::atomic<int32_t>* running) : running_(running) {}
    std::atomic<int32_t>* running_ = nullptr;
  };
  /// Throws ApiError(429) where the key has as many requests running, or has sent as many in the last minute, as it may.
  Admission admit(const std::string& name, int64_t now_us);

 private:
  struct Key {
    std::string name;
    std::string key;
    int32_t max_running = 0;  // 0: any number
    int32_t per_minute = 0;
  };
  struct Use {
    std::atomic<int32_t> running = 0;
    std::mutex mutex;
    double tokens = 0;  // requests that may come now, of a bucket of per_minute
    int64_t at_us = 0;
  };
  std::vector<Key> keys_;
  std::vector<std::unique_ptr<Use>> uses_;  // by key
};

}  // namespace terrace
