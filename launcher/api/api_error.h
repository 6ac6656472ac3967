// What is wrong with one request, in OpenAI's shape: an HTTP status and the field's name. Thrown by the request readers, turned into a
// response by whoever serves the request (batch lines, later HTTP); never ends the process.
#pragma once

#include <boost/json/fwd.hpp>
#include <exception>
#include <string>
#include <utility>

namespace terrace {

class ApiError : public std::exception {
 public:
  ApiError(int status, std::string message, std::string param = {}, std::string code = "invalid_value")
      : status_(status), message_(std::move(message)), param_(std::move(param)), code_(std::move(code)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  int status() const { return status_; }
  /// {"error": {"message", "type", "param", "code"}}
  boost::json::object body() const;

 private:
  int status_;
  std::string message_;
  std::string param_;
  std::string code_;
};

}  // namespace terrace
