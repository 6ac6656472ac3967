#include "launcher/serve/file_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "kernels/base/error.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

// kind-0123456789abcdef and nothing else: an id is also a file's name.
bool is_id(std::string_view id, std::string_view kind) {
  if (!id.starts_with(kind) || id.size() != kind.size() + 17 || id[kind.size()] != '-') return false;
  return id.find_first_not_of("0123456789abcdef", kind.size() + 1) == std::string_view::npos;
}

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void write_file(const std::string& path, std::string_view bytes) {
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  std::error_code error;
  if (file) fs::rename(part, path, error);
  if (!file || error) {
    fs::remove(part, error);
    throw Error(ErrorCode::kIoError, fmt::format("{} cannot be written: is there room (server.files)?", path));
  }
}

std::optional<json::object> read_record(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  json::error_code error;
  json::value value = json::parse(*text, error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

}  // namespace

FileStore::FileStore(std::string folder) : folder_(std::move(folder)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (!fs::is_directory(folder_)) throw Error(ErrorCode::kIoError, fmt::format("server.files: {} is no folder and cannot be made", folder_));
  fs::permissions(folder_, fs::perms::owner_all, error);  // prompts are nobody else's business
}

std::string FileStore::reserve(std::string_view kind) {
  const std::lock_guard lock(mutex_);
  std::random_device random;
  while (true) {
    const std::string id = fmt::format("{}-{:08x}{:08x}", kind, random(), random());
    if (!fs::exists(path_of(id)) && !fs::exists(path_of(id) + ".json")) return id;
  }
}

json::object FileStore::publish(const std::string& id, std::string_view filename, std::string_view purpose) {
  std::error_code error;
  const auto size = fs::file_size(path_of(id), error);
  json::object record{{"id", id}, {"object", "file"}, {"bytes", error ? 0 : static_cast<int64_t>(size)}, {"created_at", std::time(nullptr)},
                      {"filename", filename}, {"purpose", purpose}, {"status", "processed"}};
  save(id, record);
  return record;
}

json::object FileStore::add(std::string_view filename, std::string_view purpose, std::string_view bytes) {
  const std::string id = reserve("file");
  write_file(path_of(id), bytes);
  return publish(id, filename, purpose);
}

void FileStore::save(const std::string& id, const json::object& record) {
  const std::lock_guard lock(mutex_);
  write_file(path_of(id) + ".json", json::serialize(record));
}

std::vector<json::object> FileStore::load_all(std::string_view kind) const {
  const std::lock_guard lock(mutex_);
  std::vector<json::object> records;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() != ".json" || !is_id(entry.path().stem().string(), kind)) continue;
    if (auto record = read_record(entry.path())) records.push_back(std::move(*record));
  }
  std::ranges::sort(records, [](const json::object& a, const json::object& b) {
    const auto key = [](const json::object& record) { return std::pair(record.at("created_at").as_int64(), std::string(record.at("id").as_string())); };
    return key(a) > key(b);
  });
  return records;
}

std::vector<json::object> FileStore::list() const { return load_all("file"); }

std::optional<json::object> FileStore::find(const std::string& id) const {
  if (!is_id(id, "file")) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return read_record(path_of(id) + ".json");
}

std::optional<std::string> FileStore::content(const std::string& id) const {
  if (!find(id)) return std::nullopt;
  return read_file(path_of(id));
}

bool FileStore::remove(const std::string& id) {
  if (!find(id)) return false;
  const std::lock_guard lock(mutex_);
  std::error_code error;
  fs::remove(path_of(id) + ".json", error);
  fs::remove(path_of(id), error);
  return true;
}

}  // namespace terrace
