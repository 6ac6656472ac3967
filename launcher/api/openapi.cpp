#include "launcher/api/openapi.h"

#include <boost/json.hpp>
#include <initializer_list>
#include <string>

#include "launcher/api/openapi_schemas.h"

namespace terrace {
namespace {

namespace json = boost::json;
using Statuses = std::initializer_list<int>;

// What an operation is refused with.
constexpr Statuses kNone = {};
constexpr Statuses kUnread = {401};
constexpr Statuses kUnserved = {401, 503};
constexpr Statuses kNamed = {401, 404, 503};
constexpr Statuses kLookedUp = {400, 401, 404, 429, 503};
constexpr Statuses kUploaded = {400, 401, 404, 413, 415, 429, 503};
constexpr Statuses kComputed = {400, 401, 404, 408, 413, 415, 429, 500, 503};

json::object schema(const char* name) { return {{"$ref", std::string("#/components/schemas/") + name}}; }
json::object content(const char* type, json::object schema) { return {{type, json::object{{"schema", std::move(schema)}}}}; }
json::object answer(const char* description, json::object content) { return {{"description", description}, {"content", std::move(content)}}; }
json::object answer(const char* schema_name) { return answer("The answer", content("application/json", schema(schema_name))); }

json::object answer_or_events(const char* schema_name) {
  json::object object = answer(schema_name);
  object["content"].as_object()["text/event-stream"] = {{"schema", json::object{{"description", "With stream: true; each event's data is a chunk, the last is [DONE]"}}}};
  return object;
}

json::object operation(const char* summary, json::object answer, Statuses refusals) {
  json::object responses = {{"200", std::move(answer)}};
  for (const int status : refusals) responses[std::to_string(status)] = {{"$ref", "#/components/responses/Error"}};
  return {{"summary", summary}, {"responses", std::move(responses)}};
}

json::object with_body(json::object operation, json::object content) {
  operation["requestBody"] = {{"required", true}, {"content", std::move(content)}};
  return operation;
}
json::object with_body(json::object operation, const char* schema_name) { return with_body(std::move(operation), content("application/json", schema(schema_name))); }

json::object without_key(json::object operation) {
  operation["security"] = json::array();
  return operation;
}

json::object parameter(const char* in, const char* name, json::object schema) {
  return {{"name", name}, {"in", in}, {"required", std::string_view(in) == "path"}, {"schema", std::move(schema)}};
}

/// On one record of those that have the path's {id}.
json::object of_one(json::object operation) {
  operation["parameters"] = json::array{parameter("path", "id", {{"type", "string"}, {"pattern", "^[a-z0-9-]+$"}})};
  return operation;
}

json::object model_by_name() {
  json::object object = operation("The model, by its name", answer("Model"), kNamed);
  object["parameters"] = json::array{parameter("path", "id", {{"type", "string"}})};
  return object;
}

/// A page of a list, the newest first.
json::object list_of(json::object operation, int most, int otherwise) {
  operation["parameters"] = json::array{parameter("query", "after", {{"type", "string"}, {"description", "The last id of the page before"}}),
                                        parameter("query", "limit", {{"type", "integer"}, {"minimum", 1}, {"maximum", most}, {"default", otherwise}})};
  return operation;
}

json::object list_of_files() {
  json::object object = list_of(operation("The files", answer("Files"), kLookedUp), 10000, 10000);
  object["parameters"].as_array().push_back(parameter("query", "purpose", {{"type", "string"}}));
  return object;
}

json::object file_upload() {
  return content("multipart/form-data", {{"type", "object"},
                                         {"required", json::array{"file", "purpose"}},
                                         {"properties", json::object{{"file", json::object{{"type", "string"}, {"format", "binary"}}}, {"purpose", json::object{{"const", "batch"}}}}}});
}

json::object health() {
  json::object object = without_key(operation("200 when requests are answered", answer("Status"), kNone));
  object["responses"].as_object()["503"] = answer("Status");
  return object;
}

json::object paths() {
  const json::object bytes = answer("The bytes", content("application/octet-stream", {{"type", "string"}, {"format", "binary"}}));
  const json::object text = answer("Prometheus' text format", content("text/plain", {{"type", "string"}}));
  const json::object document = answer("OpenAPI 3.1", content("application/json", {{"type", "object"}}));
  return {
      {"/v1/completions", {{"post", with_body(operation("Continue a text", answer_or_events("Completion"), kComputed), "CompletionRequest")}}},
      {"/v1/chat/completions", {{"post", with_body(operation("Answer a chat", answer_or_events("Chat"), kComputed), "ChatRequest")}}},
      {"/v1/embeddings", {{"post", with_body(operation("A vector for each text", answer("Embeddings"), kComputed), "EmbeddingRequest")}}},
      {"/v1/models", {{"get", operation("The model that is served", answer("Models"), kUnserved)}}},
      {"/v1/models/{id}", {{"get", model_by_name()}}},
      {"/v1/files",
       {{"post", with_body(operation("Keep a file of batch lines", answer("File"), kUploaded), file_upload())}, {"get", list_of_files()}}},
      {"/v1/files/{id}",
       {{"get", of_one(operation("A file's record", answer("File"), kLookedUp))}, {"delete", of_one(operation("Forget a file", answer("Deleted"), kLookedUp))}}},
      {"/v1/files/{id}/content", {{"get", of_one(operation("A file's bytes", bytes, kLookedUp))}}},
      {"/v1/batches",
       {{"post", with_body(operation("Answer the lines of a file", answer("Batch"), kUploaded), "BatchRequest")}, {"get", list_of(operation("The batches", answer("Batches"), kLookedUp), 100, 20)}}},
      {"/v1/batches/{id}", {{"get", of_one(operation("How far a batch is", answer("Batch"), kLookedUp))}}},
      {"/v1/batches/{id}/cancel", {{"post", of_one(operation("Stop a batch", answer("Batch"), kLookedUp))}}},
      {"/tokenize", {{"post", with_body(operation("Text or a chat to token ids", answer("Tokens"), kComputed), "TokenizeRequest")}}},
      {"/detokenize", {{"post", with_body(operation("Token ids to text", answer("Text"), kComputed), "DetokenizeRequest")}}},
      {"/health", {{"get", health()}}},
      {"/version", {{"get", without_key(operation("The program's version", answer("Version"), kNone))}}},
      {"/metrics", {{"get", operation("Figures for Prometheus", text, kUnread)}}},
      {"/stats", {{"get", operation("Figures for people", answer("Stats"), kUnread)}}},
      {"/openapi.json", {{"get", without_key(operation("This document", document, kNone))}}},
  };
}

json::object components() {
  const json::object error = answer("What is wrong, in OpenAI's shape", content("application/json", schema("Error")));
  return {{"responses", json::object{{"Error", error}}}, {"schemas", json::parse(openapi_schemas())}, {"securitySchemes", json::object{{"key", json::object{{"type", "http"}, {"scheme", "bearer"}}}}}};
}

}  // namespace

std::string_view openapi_document() {
  static const std::string document = json::serialize(json::object{
      {"openapi", "3.1.0"},
      {"info", json::object{{"title", "terrace"}, {"version", TERRACE_VERSION}, {"description", "OpenAI's API with vLLM's extensions. An unknown field is refused, unless it is null."}}},
      {"security", json::array{json::object{}, json::object{{"key", json::array()}}}},
      {"paths", paths()},
      {"components", components()},
  });
  return document;
}

}  // namespace terrace
