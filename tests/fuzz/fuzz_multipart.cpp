// Any bytes as a form: an ApiError with a sentence, or parts that lie within the bytes and are named.
#include <cstdint>
#include <cstdlib>

#include "launcher/api/api_error.h"
#include "launcher/api/multipart.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t line = bytes.find('\n');  // what comes before is the header
  try {
    for (const terrace::FormPart& part : terrace::parse_multipart(bytes.substr(0, line), line == std::string_view::npos ? "" : bytes.substr(line + 1))) {
      if (part.name.empty() || part.body.data() < bytes.data() || part.body.data() + part.body.size() > bytes.data() + bytes.size()) std::abort();
    }
  } catch (const terrace::ApiError&) {
  }
  return 0;
}
