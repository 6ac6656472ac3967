#include "launcher/api/api_error.h"

#include <boost/json.hpp>

namespace terrace {

boost::json::object ApiError::body() const {
  boost::json::object error;
  error["message"] = message_;
  error["type"] = status_ >= 500 ? "server_error" : "invalid_request_error";
  error["param"] = param_.empty() ? boost::json::value(nullptr) : boost::json::value(param_);
  error["code"] = code_;
  return {{"error", std::move(error)}};
}

}  // namespace terrace
