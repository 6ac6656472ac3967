// `terrace run CONFIG --explain`: the configuration that holds, where each value came from, and how each rank's memory would be used.
// Reads the model's metadata and loads nothing. Rank 0.
#pragma once

#include <string>

#include "launcher/config_file.h"

namespace terrace {

/// The memory of each of `num_ranks` ranks, `local_ranks` of which share this host: weights, KV per token, pages of each tier. A rank that
/// would not fit is reported as such, in its place. Throws Error where the model cannot be read or not be dealt to so many ranks.
std::string explain_memory(const Config& config, int num_ranks, int local_ranks);

}  // namespace terrace
