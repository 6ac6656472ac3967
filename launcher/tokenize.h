// `terrace tokenize`: text to token ids and back, by a model's GGUF (a vocabulary alone is enough). No ranks.
#pragma once

#include <iosfwd>
#include <string>

namespace terrace {

struct TokenizeOptions {
  std::string model_path;
  bool jsonl = false;   // one item a line: a JSON string in and a list out, or with decode the other way; {"error"} for
                        // a bad line
  bool decode = false;  // ids in, text out
  bool no_special = false;  // the text of special tokens is plain text; with decode: they are left out
  bool no_bos = false;      // no BOS (and EOS) even where the model wants one
};

/// Reads `in` to its end. Without jsonl: the bytes as they are in, one JSON list out (or a list in, bytes out, nothing
/// added). Throws kInvalidValue (exit code 2) where `in` is not valid UTF-8, with the offset, or not a list of ids;
/// kIoError where `out` fails.
int run_tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out);

}  // namespace terrace
