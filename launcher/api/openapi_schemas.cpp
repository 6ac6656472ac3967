#include "launcher/api/openapi_schemas.h"

#include <fmt/format.h>

#include <initializer_list>
#include <string>

namespace terrace {
namespace {

// What requests to the engine have in common.
constexpr std::string_view kCommonFields = R"json(     "model": {"type": ["string", "null"], "description": "The name that /v1/models gives, or none"},
     "cache_priority": {"type": ["integer", "null"], "minimum": 0, "maximum": 100, "description": "How long the cache keeps what this request leaves; 35 unless said"},
     "cache_salt": {"type": ["string", "null"], "description": "Cached pages are shared only between requests of one salt"},
     "priority": {"type": ["integer", "null"], "minimum": -1048576, "maximum": 1048576, "description": "The smaller goes first"},
     "timeout": {"type": ["number", "null"], "minimum": 0, "maximum": 1000000.0, "description": "Seconds to the last token; 0 is none"},
     "user": {})json";

// What completions and chats have, too.
constexpr std::string_view kRequestFields = R"json(
     "stream": {"type": ["boolean", "null"], "description": "Server-sent events while the answer is made, the last one [DONE]"},
     "stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": ["boolean", "null"], "description": "A last chunk with the tokens"}, "include_obfuscation": {"type": ["boolean", "null"], "description": "Accepted and ignored"}, "continuous_usage_stats": {"enum": [false, null]}}, "additionalProperties": false},
     "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128, "description": "Choices of each prompt; at most 2048 in all"},
     "min_tokens": {"type": ["integer", "null"], "minimum": 0, "maximum": 1073741823, "description": "Stop tokens are out of the question before; at most max_tokens"},
     "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100, "description": "0 is greedy"},
     "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
     "top_k": {"type": ["integer", "null"], "minimum": -1, "maximum": 2147483647, "description": "0 or -1 is all"},
     "min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
     "presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
     "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
     "repetition_penalty": {"type": ["number", "null"], "minimum": 0.01, "maximum": 100},
     "seed": {"type": ["integer", "null"]},
     "logit_bias": {"type": ["object", "null"], "propertyNames": {"pattern": "^[0-9]+$"}, "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}, "description": "Token id: bias"},
     "stop": {"anyOf": [{"type": "string", "description": "Empty: none"}, {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 16}, {"type": "null"}]},
     "ignore_eos": {"type": ["boolean", "null"], "description": "Goes on after an end token"},
     "return_token_ids": {"type": ["boolean", "null"]},
     "response_format": {"type": ["object", "null"], "required": ["type"], "properties": {"type": {"enum": ["text", "json_object", "json_schema"]}, "json_schema": {"type": "object"}}, "description": "What the answer is held to"},
     "metadata": {},
     "store": {},
     "service_tier": {},
     "safety_identifier": {},
     "prompt_cache_key": {},
     "prompt_cache_retention": {},
     "modalities": {"enum": [["text"], null]},
     "skip_special_tokens": {"enum": [true, null]},
     "best_of": {"type": ["integer", "null"], "minimum": 1, "maximum": 128, "description": "Equal to n"})json";

}  // namespace

std::string_view openapi_schemas() {
  static const std::string schemas = fmt::format("{}", fmt::join(std::initializer_list<std::string_view>{R"json({
 "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "object", "required": ["message", "type", "param", "code"], "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}}}}},
 "Usage": {
  "type": "object",
  "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
  "properties": {"prompt_tokens": {"type": "integer"}, "completion_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}, "prompt_tokens_details": {"type": "object", "properties": {"cached_tokens": {"type": "integer", "description": "Found in the KV cache, not computed"}}}}
 },
 "CompletionRequest": {
  "type": "object",
  "required": ["prompt"],
  "additionalProperties": false,
  "properties": {
   "prompt": {
    "anyOf": [
     {"type": "string", "minLength": 1},
     {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 1024},
     {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
     {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}, "minItems": 1, "maxItems": 1024}
    ]
   },
)json",
                            kCommonFields, ",", kRequestFields, R"json(,
   "max_tokens": {"type": ["integer", "null"], "minimum": 0, "maximum": 1073741823},
   "max_completion_tokens": {"type": ["integer", "null"], "minimum": 0, "maximum": 1073741823},
   "echo": {"type": ["boolean", "null"], "description": "The prompt before the answer"},
   "logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20, "description": "Of each token, and of so many alternatives"}
  }
 },
 "ChatRequest": {
  "type": "object",
  "required": ["messages"],
  "additionalProperties": false,
  "properties": {
   "messages": {"type": "array", "items": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}, "content": {}}}, "minItems": 1},
)json",
                            kCommonFields, ",", kRequestFields, R"json(,
   "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 1073741823},
   "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 1073741823},
   "logprobs": {"type": ["boolean", "null"]},
   "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
   "tools": {},
   "tool_choice": {},
   "parallel_tool_calls": {"type": ["boolean", "null"]},
   "documents": {},
   "chat_template_kwargs": {},
   "add_generation_prompt": {"type": ["boolean", "null"]}
  }
 },
 "Completion": {
  "type": "object",
  "required": ["id", "object", "created", "model", "choices", "usage"],
  "properties": {
   "id": {"type": "string"},
   "object": {"const": "text_completion"},
   "created": {"type": "integer"},
   "model": {"type": "string"},
   "usage": {"$ref": "#/components/schemas/Usage"},
   "choices": {
    "type": "array",
    "items": {
     "type": "object",
     "required": ["index", "text", "logprobs", "finish_reason"],
     "properties": {"index": {"type": "integer"}, "text": {"type": "string"}, "logprobs": {"type": ["object", "null"]}, "finish_reason": {"enum": ["stop", "length"]}, "token_ids": {"type": "array", "items": {"type": "integer"}}}
    }
   }
  }
 },
 "Chat": {
  "type": "object",
  "required": ["id", "object", "created", "model", "choices", "usage"],
  "properties": {
   "id": {"type": "string"},
   "object": {"const": "chat.completion"},
   "created": {"type": "integer"},
   "model": {"type": "string"},
   "usage": {"$ref": "#/components/schemas/Usage"},
   "choices": {
    "type": "array",
    "items": {
     "type": "object",
     "required": ["index", "message", "logprobs", "finish_reason"],
     "properties": {
      "index": {"type": "integer"},
      "message": {"type": "object", "required": ["role", "content"], "properties": {"role": {"const": "assistant"}, "content": {"type": ["string", "null"]}, "tool_calls": {"type": "array", "items": {"type": "object"}}}},
      "logprobs": {"type": ["object", "null"]},
      "finish_reason": {"enum": ["stop", "length", "tool_calls"]},
      "token_ids": {"type": "array", "items": {"type": "integer"}}
     }
    }
   }
  }
 },
 "EmbeddingRequest": {
  "type": "object",
  "required": ["input"],
  "additionalProperties": false,
  "properties": {
   "input": {
    "description": "Texts, or token ids",
    "anyOf": [
     {"type": "string", "minLength": 1},
     {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 2048},
     {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
     {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}, "minItems": 1, "maxItems": 2048}
    ]
   },
)json",
                            kCommonFields, R"json(,
   "encoding_format": {"enum": ["float", "base64", null], "description": "base64: of the values as little-endian 32-bit floats"},
   "dimensions": {"type": ["integer", "null"], "minimum": 1, "description": "So many leading values, made length 1 again; at most the model's own"},
   "pooling": {"enum": ["mean", "last", null], "description": "Of the tokens' hidden states: their mean, or the last token's; embeddings.pooling unless said"}
  }
 },
 "Embeddings": {
  "type": "object",
  "required": ["object", "data", "model", "usage"],
  "properties": {
   "object": {"const": "list"},
   "data": {
    "type": "array",
    "description": "In the order of the inputs",
    "items": {
     "type": "object",
     "required": ["object", "index", "embedding"],
     "properties": {"object": {"const": "embedding"}, "index": {"type": "integer"}, "embedding": {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}], "description": "Of Euclidean length 1"}}
    }
   },
   "model": {"type": "string"},
   "usage": {"type": "object", "required": ["prompt_tokens", "total_tokens"], "properties": {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}}}
  }
 },
 "Models": {
  "type": "object",
  "required": ["object", "data"],
  "properties": {
   "object": {"const": "list"},
   "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}
  }
 },
 "Model": {"type": "object", "required": ["id", "object", "created", "owned_by"], "properties": {"id": {"type": "string"}, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": {"type": "string"}, "max_model_len": {"type": "integer"}}},
 "TokenizeRequest": {
  "anyOf": [
   {"type": "object", "required": ["prompt"], "additionalProperties": false, "properties": {"model": {}, "prompt": {"type": "string"}, "add_special_tokens": {"type": ["boolean", "null"]}}},
   {"type": "object", "required": ["messages"], "properties": {"messages": {"type": "array", "items": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}}}, "minItems": 1}, "add_generation_prompt": {"type": ["boolean", "null"]}}}
  ]
 },
 "Tokens": {"type": "object", "required": ["tokens", "count", "max_model_len"], "properties": {"tokens": {"type": "array", "items": {"type": "integer"}}, "count": {"type": "integer"}, "max_model_len": {"type": "integer"}}},
 "DetokenizeRequest": {"type": "object", "required": ["tokens"], "additionalProperties": false, "properties": {"model": {}, "tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}}}},
 "Text": {"type": "object", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
 "Status": {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "loading", "ending"]}}},
 "Version": {"type": "object", "required": ["version"], "properties": {"version": {"type": "string"}}},
 "Stats": {"type": "object", "description": "Figures of the last minute, as terrace top and the page show them"},
 "File": {
  "type": "object",
  "required": ["id", "object", "bytes", "created_at", "filename", "purpose"],
  "properties": {"id": {"type": "string"}, "object": {"const": "file"}, "bytes": {"type": "integer"}, "created_at": {"type": "integer"}, "filename": {"type": "string"}, "purpose": {"type": "string"}, "status": {"type": "string"}}
 },
 "Batch": {
  "type": "object",
  "required": ["id", "object", "endpoint", "input_file_id", "status", "created_at", "request_counts"],
  "properties": {
   "id": {"type": "string"},
   "object": {"const": "batch"},
   "endpoint": {"type": "string"},
   "input_file_id": {"type": "string"},
   "output_file_id": {"type": ["string", "null"], "description": "Every line's answer, those that failed too"},
   "status": {"enum": ["validating", "failed", "in_progress", "completed", "cancelling", "cancelled"]},
   "created_at": {"type": "integer"},
   "request_counts": {"type": "object", "properties": {"total": {"type": "integer"}, "completed": {"type": "integer"}, "failed": {"type": "integer"}}}
  }
 },
 "BatchRequest": {
  "type": "object",
  "required": ["input_file_id", "endpoint"],
  "additionalProperties": false,
  "properties": {"input_file_id": {"type": "string"}, "endpoint": {"enum": ["/v1/completions", "/v1/chat/completions", "/v1/embeddings"]}, "completion_window": {"enum": ["24h", null]}, "metadata": {"type": ["object", "null"]}}
 },
 "Page": {"type": "object", "required": ["object", "has_more", "first_id", "last_id"], "properties": {"object": {"const": "list"}, "has_more": {"type": "boolean"}, "first_id": {"type": ["string", "null"]}, "last_id": {"type": ["string", "null"]}}},
 "Files": {"allOf": [{"$ref": "#/components/schemas/Page"}], "type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/File"}}}},
 "Batches": {"allOf": [{"$ref": "#/components/schemas/Page"}], "type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/Batch"}}}},
 "Deleted": {"type": "object", "required": ["id", "object", "deleted"], "properties": {"id": {"type": "string"}, "object": {"const": "file"}, "deleted": {"const": true}}}
  })json"}, ""));
  return schemas;
}

}  // namespace terrace
