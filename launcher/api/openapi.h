// The API's own description, OpenAPI 3.1, as served at /openapi.json. A test holds it against the routes, another against real answers.
#pragma once

#include <string_view>

namespace terrace {

std::string_view openapi_document();

}  // namespace terrace
