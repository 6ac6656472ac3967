// One line of JSON for each answered request, on stderr: where its time went. Never prompts, answers or keys. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "launcher/serve/request_times.h"

namespace spdlog {
class logger;
}

namespace terrace {

struct AccessRecord {
  std::string id;
  std::string route;
  std::string owner;
  int status = 0;  // 499: the client had gone
  int64_t begun_us = 0;
  int64_t ended_us = 0;
  int64_t prompt_tokens = 0;
  RequestTimes times;  // of a completion
};

class AccessLog {
 public:
  explicit AccessLog(bool enabled);
  void write(const AccessRecord& record);

 private:
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace terrace
