// The format (for GrammarCompiler) of JSON text that follows a schema.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>

namespace terrace {

/// Members come in the schema's order, and no others than it names, unless it has additionalProperties.
boost::json::object json_format(boost::json::value schema);

/// A keyword of the schema that grammars leave out (xgrammar says nothing of it), if there is one.
std::optional<std::string> unenforced_keyword(const boost::json::value& schema);

}  // namespace terrace
