// What a browser asks before it lets another site's page call (CORS). Pure.
#pragma once

#include "launcher/http/exchange.h"

namespace terrace {

/// Lets all methods and headers through, those too that clients' libraries send of their own and that mean nothing here.
Reply preflight_reply(const HttpRequest& request);

}  // namespace terrace
