#include "launcher/http/file_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <iterator>

#include "launcher/api/api_error.h"
#include "launcher/api/json_body.h"
#include "launcher/api/multipart.h"
#include "launcher/serve/batch_jobs.h"
#include "launcher/serve/file_store.h"
#include "runtime/text/utf8.h"

namespace terrace::file_api {
namespace {

namespace json = boost::json;

FileStore& files_of(const ServedModel& model) {
  if (model.files == nullptr) throw ApiError(404, "this server keeps no files: server.files names no folder", "", "not_found");
  return *model.files;
}

BatchJobs& batches_of(const ServedModel& model) {
  files_of(model);
  return *model.batches;
}

// How many records a list may have, and has where the request does not say.
struct PageSize {
  size_t most;
  size_t otherwise;
};
constexpr PageSize kFilesPage = {10000, 10000};
constexpr PageSize kBatchesPage = {100, 20};

size_t read_limit(const Exchange& exchange, const PageSize& size) {
  const std::optional<std::string> text = exchange.query("limit");
  if (!text) return size.otherwise;
  size_t limit = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
  const bool good = error == std::errc() && end == text->data() + text->size() && limit >= 1 && limit <= size.most;
  if (!good) throw ApiError(400, fmt::format("'limit' must be an integer from 1 to {}", size.most), "limit");
  return limit;
}

// Those behind the record that the client saw last.
void drop_up_to(std::vector<json::object>& objects, const std::string& id) {
  const auto found = std::ranges::find_if(objects, [&id](const json::object& object) { return object.at("id").as_string() == id; });
  if (found == objects.end()) throw ApiError(400, fmt::format("'after' names '{}', which is not there", to_valid_utf8(id)), "after");
  objects.erase(objects.begin(), std::next(found));
}

Reply list_reply(const Exchange& exchange, std::vector<json::object> objects, const PageSize& size) {
  const size_t limit = read_limit(exchange, size);
  if (const auto after = exchange.query("after")) drop_up_to(objects, *after);
  if (const auto purpose = exchange.query("purpose")) {
    std::erase_if(objects, [&purpose](const json::object& object) { return object.contains("purpose") && object.at("purpose").as_string() != *purpose; });
  }
  json::array data;
  for (size_t i = 0; i < std::min(limit, objects.size()); ++i) data.emplace_back(std::move(objects[i]));
  json::object body{{"object", "list"}, {"has_more", objects.size() > limit}};
  body["first_id"] = data.empty() ? json::value(nullptr) : data.front().at("id");
  body["last_id"] = data.empty() ? json::value(nullptr) : data.back().at("id");
  body["data"] = std::move(data);
  return json_reply(body);
}

template <typename T>
T there(std::optional<T> value, const Exchange& exchange) {
  if (!value) throw ApiError(404, fmt::format("there is no '{}'", exchange.parameter), "id", "not_found");
  return std::move(*value);
}

const FormPart* find_part(const std::vector<FormPart>& parts, std::string_view name) {
  const auto found = std::ranges::find(parts, name, &FormPart::name);
  return found == parts.end() ? nullptr : &*found;
}

}  // namespace

Reply add_file(const ServedModel& model, const Exchange& exchange) {
  FileStore& files = files_of(model);
  const auto type = exchange.request()["Content-Type"];
  const std::vector<FormPart> parts = parse_multipart({type.data(), type.size()}, exchange.request().body());
  const FormPart* file = find_part(parts, "file");
  const FormPart* purpose = find_part(parts, "purpose");
  if (file == nullptr) throw ApiError(400, "the form has no part 'file'", "file");
  if (purpose == nullptr || purpose->body != "batch") throw ApiError(400, "'purpose' must be \"batch\"", "purpose");
  return json_reply(files.add(to_valid_utf8(file->filename.value_or("file")), purpose->body, file->body));
}

Reply list_files(const ServedModel& model, const Exchange& exchange) { return list_reply(exchange, files_of(model).list(), kFilesPage); }

Reply get_file(const ServedModel& model, const Exchange& exchange) { return json_reply(there(files_of(model).find(exchange.parameter), exchange)); }

Reply get_content(const ServedModel& model, const Exchange& exchange) {
  Reply reply;
  reply.body = there(files_of(model).content(exchange.parameter), exchange);
  reply.type = "application/octet-stream";
  return reply;
}

Reply delete_file(const ServedModel& model, const Exchange& exchange) {
  if (!files_of(model).remove(exchange.parameter)) there(std::optional<bool>(), exchange);
  return json_reply(json::object{{"id", exchange.parameter}, {"object", "file"}, {"deleted", true}});
}

Reply create_batch(const ServedModel& model, const Exchange& exchange) {
  return json_reply(batches_of(model).create(parse_json_object(exchange.request().body(), "the body")));
}

Reply list_batches(const ServedModel& model, const Exchange& exchange) { return list_reply(exchange, batches_of(model).list(), kBatchesPage); }

Reply get_batch(const ServedModel& model, const Exchange& exchange) { return json_reply(there(batches_of(model).find(exchange.parameter), exchange)); }

Reply cancel_batch(const ServedModel& model, const Exchange& exchange) { return json_reply(there(batches_of(model).cancel(exchange.parameter), exchange)); }

}  // namespace terrace::file_api
