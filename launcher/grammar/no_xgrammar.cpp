#include "kernels/base/error.h"
#include "launcher/grammar/grammar_compiler.h"

namespace terrace {

struct GrammarCompiler::Impl {};

GrammarCompiler::GrammarCompiler(const Tokenizer&) {}
GrammarCompiler::~GrammarCompiler() = default;

std::shared_ptr<const Grammar> GrammarCompiler::compile(const boost::json::object&, bool) {
  throw Error(ErrorCode::kModelUnsupported,
              "this terrace was built without xgrammar, which holds answers to a given form: scripts/setup.sh fetches it, then build again");
}

}  // namespace terrace
