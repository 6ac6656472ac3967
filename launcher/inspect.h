// `terrace inspect MODEL`: what a model file holds, on stdout. No ranks, nothing is loaded.
#pragma once

#include <string>
#include <vector>

namespace terrace {

/// `config` is a model file or a configuration that names one.
int inspect(const std::string& config, const std::vector<std::string>& sets);

}  // namespace terrace
