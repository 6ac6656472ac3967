// Brings the messages of a chat request into the form that chat templates read. Pure functions.
#pragma once

#include <boost/json/fwd.hpp>

namespace terrace {

// Changes `messages` in place:
// - a content that is a list of {"type": "text", "text": ...} parts becomes its texts joined by "\n", where the
//   template does not read parts itself (`keep_parts`); parts of other types are then refused;
// - tool_calls[].function.arguments given as a JSON string (OpenAI's form) become the object that they write;
// - the reasoning of an earlier answer, in "reasoning_content", "thinking" or "reasoning", goes by all the names that
//   templates know: "reasoning_content" and "thinking".
// Throws kInvalidValue naming the message by its place, from 0.
void prepare_messages(boost::json::array& messages, bool keep_parts);

}  // namespace terrace
