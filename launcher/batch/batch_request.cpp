#include "launcher/batch/batch_request.h"

#include <boost/json.hpp>

#include "launcher/api/field_reader.h"

namespace terrace {

CompletionRequest read_batch_request(const boost::json::object& line, const CompletionContext& context) {
  FieldReader fields(line);
  fields.ignore("custom_id");
  if (const auto method = fields.string("method"); method && *method != "POST") fields.fail("method", "\"POST\"");
  const auto endpoint = endpoint_of(fields.string("url").value_or(""));
  if (!endpoint) fields.fail("url", "\"/v1/completions\" or \"/v1/chat/completions\"");
  const boost::json::value* body = fields.value("body");
  if (body == nullptr || !body->is_object()) fields.fail("body", "an object");
  fields.finish();
  return read_completion_request(*endpoint, body->as_object(), context);
}

}  // namespace terrace
