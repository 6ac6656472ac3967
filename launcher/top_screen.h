// What `terrace top` shows of a server's /stats: a screen for a terminal, or a line. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

namespace terrace {

/// Two looks at /stats; `before` is empty at the first.
struct StatsChange {
  boost::json::object now;
  boost::json::object before;
  double elapsed = 0;  // seconds
};

/// Lines of at most `width` characters, none of them a control character. Throws Error(kInvalidValue) where this is not a terrace server's /stats.
std::vector<std::string> top_screen(const StatsChange& change, const std::string& server, int width);
std::string top_line(const StatsChange& change);

/// The first `width` characters of UTF-8 text.
std::string clipped(const std::string& text, int width);

}  // namespace terrace
