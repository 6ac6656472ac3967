// The response_format of a request, in OpenAI's meaning.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>

#include "launcher/api/field_reader.h"

namespace terrace {

struct ResponseFormat {
  boost::json::object format;  // for GrammarCompiler
  bool strict = false;         // what of the schema cannot be enforced is refused
};

/// Throws ApiError(400) for the field where a strict schema asks for what no grammar can hold an answer to.
void require_enforceable(const boost::json::value& schema, const std::string& field);

/// nullopt: any text. Throws ApiError(400).
std::optional<ResponseFormat> read_response_format(FieldReader& fields);

}  // namespace terrace
