// `terrace render`: a chat request on stdin, the exact prompt text (or its ids) on stdout, nothing added. No ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace terrace {

struct RenderOptions {
  std::string config;  // "" with template_file
  std::vector<std::string> sets;
  std::string template_file;  // a Jinja template to use instead of the model's
  std::string bos;            // of template_file
  std::string eos;
  std::optional<std::string> now;  // "2025-03-14T09:26:53", local time: what strftime_now sees
  bool ids = false;
  bool json_lines = false;  // one request a line in, one JSON string or {"error"} a line out
};

/// "2025-03-14T09:26:53" as seconds since 1970, in the process's time zone. Error(kInvalidValue) for anything else.
int64_t parse_local_time(const std::string& text);

int render(const RenderOptions& options);

}  // namespace terrace
