// One GET over a connection of its own. Any thread; waits for the answer.
#pragma once

#include <chrono>
#include <string>

#include "launcher/http/url.h"

namespace terrace {

struct HttpAnswer {
  int status = 0;
  std::string body;
};

/// `api_key`: empty for none. Certificates are checked against the system's. Throws Error(kIoError) where there is no answer in time.
HttpAnswer http_get(const Url& url, const std::string& path, const std::string& api_key, std::chrono::milliseconds timeout);

}  // namespace terrace
