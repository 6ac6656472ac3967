// Whether a request's Host may be this machine's own. Against DNS rebinding: a foreign page whose name its owner points at 127.0.0.1, so that the visitor's
// browser takes a server on loopback for the page's own (Jackson et al., Protecting Browsers from DNS Rebinding Attacks, CCS 2007). Pure.
#pragma once

#include <string_view>

namespace terrace {

/// `host`: the header, with or without a port. True for addresses, localhost and what ends in .localhost, and names without a dot, which nobody outside can own.
bool is_local_name(std::string_view host);
bool is_loopback(std::string_view address);

}  // namespace terrace
