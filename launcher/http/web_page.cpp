#include "launcher/http/web_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/zlib/inflate_stream.hpp>
#include <string>

#include "launcher/api/api_error.h"
#include "launcher/web/assets.h"

namespace terrace {
namespace {

namespace http = boost::beast::http;
namespace zlib = boost::beast::zlib;

// Whatever a model or a document makes the page show, it can run no script, load nothing and send nothing elsewhere.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// For the few clients that cannot take gzip. RFC 1952: a header of ten bytes (`gzip -n` writes no name), and a trailer of eight with the size last.
std::string unzip(std::string_view gzip) {
  const auto byte = [&](size_t from_end) { return static_cast<size_t>(static_cast<unsigned char>(gzip[gzip.size() - from_end])); };
  std::string text(byte(4) | byte(3) << 8 | byte(2) << 16 | byte(1) << 24, '\0');
  zlib::z_params stream;
  stream.next_in = gzip.data() + 10;
  stream.avail_in = gzip.size() - 18;
  stream.next_out = text.data();
  stream.avail_out = text.size();
  boost::system::error_code end;
  zlib::inflate_stream().write(stream, zlib::Flush::finish, end);
  text.resize(stream.total_out);
  return text;
}

}  // namespace

Reply web_page_reply(const HttpRequest& request, std::string_view name) {
  const auto assets = web_assets();
  const auto asset = std::ranges::find(assets, name, &WebAsset::name);
  if (asset == assets.end()) throw ApiError(404, "the web page has no such file", "", "not_found");
  Reply reply{.type = std::string(asset->type),
              .headers = {{"ETag", std::string(asset->etag)},
                          {"Cache-Control", "no-cache"},  // kept, and asked for again: a new server brings a new page
                          {"Content-Security-Policy", kPolicy},
                          {"Referrer-Policy", "no-referrer"},
                          {"Cross-Origin-Opener-Policy", "same-origin"},
                          {"Vary", "Accept-Encoding"}}};
  const auto has = [&](http::field field, std::string_view what) { return request[field].find(what) != std::string_view::npos; };
  if (has(http::field::if_none_match, asset->etag)) {
    reply.status = 304;
  } else if (has(http::field::accept_encoding, "gzip")) {
    reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.body = asset->gzip;
  } else {
    reply.body = unzip(asset->gzip);
  }
  return reply;
}

}  // namespace terrace
