// Grammars that answers are held to: JSON of a schema, formats of tool calls. Compiled for one model's vocabulary by xgrammar, whose home is this
// folder; a terrace built without it (no_xgrammar.cpp) refuses to compile.
#pragma once

#include <boost/json/fwd.hpp>
#include <memory>

#include "runtime/sampling/token_constraint.h"
#include "runtime/text/tokenizer.h"

namespace terrace {

/// Immutable: any thread.
class Grammar {
 public:
  virtual ~Grammar() = default;
  /// The constraint of one more sequence, at the beginning of its text.
  virtual std::shared_ptr<TokenConstraint> start() const = 0;
};

/// Any thread.
class GrammarCompiler {
 public:
  /// `tokenizer` outlives the compiler.
  explicit GrammarCompiler(const Tokenizer& tokenizer);
  ~GrammarCompiler();

  /// `format` is one of xgrammar's structural tag (docs/structural_tag of its sources): {"type": "json_schema", ...}, {"type": "sequence", ...}.
  /// `strict`: what cannot be enforced is refused, rather than left out. The last formats are kept compiled.
  /// Throws kInvalidValue with what is wrong with the format, kModelUnsupported where terrace was built without xgrammar.
  std::shared_ptr<const Grammar> compile(const boost::json::object& format, bool strict);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
