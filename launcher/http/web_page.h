// Answers GET / and /assets/NAME: the web page, which needs nothing from anywhere else. Any thread.
#pragma once

#include <string_view>

#include "launcher/http/exchange.h"

namespace terrace {

/// `name`: of a WebAsset. Throws ApiError(404) where there is none.
Reply web_page_reply(const HttpRequest& request, std::string_view name);

}  // namespace terrace
