// Standard input and output as the verbs use them: bytes as they are, and a failed write is never silent. stdout carries only results.
#pragma once

#include <string>
#include <string_view>

namespace terrace {

/// Everything on standard input, to its end. Error(kIoError) where it cannot be read.
std::string read_stdin();
bool stdin_is_terminal();

/// Writes all of `text` at once, past any buffer. Error(kIoError) with the reason: disk full, closed pipe.
void write_stdout(std::string_view text);

}  // namespace terrace
