// JSON bytes that a client sent, as an object; pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <string_view>

namespace terrace {

/// Throws ApiError(400) with what is wrong with `what` ("the body").
boost::json::object parse_json_object(std::string_view text, std::string_view what);

}  // namespace terrace
