// The files behind /v1/files: each is ID (its bytes) and ID.json (what is known of it) in one folder. Writes are by a temporary file and a rename, so a
// crash leaves nothing half done. Any thread.
#pragma once

#include <boost/json.hpp>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace terrace {

class FileStore {
 public:
  /// Makes the folder where it is not there; throws Error(kIoError).
  explicit FileStore(std::string folder);

  /// Writes `bytes` as a new file; its object as OpenAI's API has it.
  boost::json::object add(std::string_view filename, std::string_view purpose, std::string_view bytes);
  /// A new file that the caller writes at path_of(id), and then describes by publish().
  std::string reserve(std::string_view kind);
  boost::json::object publish(const std::string& id, std::string_view filename, std::string_view purpose);

  /// Newest first.
  std::vector<boost::json::object> list() const;
  /// nullopt for an id that there is not, or that could be no id.
  std::optional<boost::json::object> find(const std::string& id) const;
  std::optional<std::string> content(const std::string& id) const;
  bool remove(const std::string& id);
  std::string path_of(const std::string& id) const { return folder_ + "/" + id; }

  /// Records of other kinds that live beside the files: ID.json with any object.
  void save(const std::string& id, const boost::json::object& record);
  std::vector<boost::json::object> load_all(std::string_view kind) const;

 private:
  std::string folder_;
  mutable std::mutex mutex_;
};

}  // namespace terrace
