#include "launcher/http/exchange.h"

namespace terrace {

std::string_view Exchange::path() const {
  const std::string_view target(request_.target().data(), request_.target().size());
  return target.substr(0, target.find('?'));
}

}  // namespace terrace
