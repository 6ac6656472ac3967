// The files of the web page, embedded in the executable by the build (cmake/TerraceWeb.cmake).
#pragma once

#include <span>
#include <string_view>

namespace terrace {

struct WebAsset {
  std::string_view name;  // index.html is the page itself
  std::string_view type;
  std::string_view etag;  // of the content, quoted
  std::string_view gzip;
};

std::span<const WebAsset> web_assets();

}  // namespace terrace
