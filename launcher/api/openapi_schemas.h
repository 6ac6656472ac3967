// The bodies and answers of the API, as JSON schemas by name: what openapi.cpp refers to.
#pragma once

#include <string_view>

namespace terrace {

/// A JSON object.
std::string_view openapi_schemas();

}  // namespace terrace
