#include "launcher/serve/batch_jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/api/api_error.h"
#include "launcher/api/field_reader.h"
#include "launcher/batch/batch_runner.h"
#include "launcher/serve/loop_runner.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr const char* kKind = "batch";

bool ended(const json::object& batch) {
  const std::string_view status = batch.at("status").as_string();
  return status == "completed" || status == "failed" || status == "cancelled";
}

json::object new_batch(const std::string& id, const std::string& input, const std::string& endpoint, const json::value* metadata) {
  json::object batch{{"id", id}, {"object", "batch"}, {"endpoint", endpoint}, {"errors", nullptr}, {"input_file_id", input}, {"completion_window", "24h"},
                     {"status", "validating"}, {"output_file_id", nullptr}, {"error_file_id", nullptr}, {"created_at", std::time(nullptr)}};
  for (const char* when : {"in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at"}) batch[when] = nullptr;
  batch["request_counts"] = json::object{{"total", 0}, {"completed", 0}, {"failed", 0}};
  batch["metadata"] = metadata == nullptr ? json::value(nullptr) : *metadata;
  return batch;
}

void set_cancelled(json::object& batch) {
  batch["status"] = "cancelled";
  batch["cancelled_at"] = std::time(nullptr);
}

json::object counts(const BatchSummary& summary, const BatchOutput& output) {
  const int64_t failed = summary.num_failed + output.num_failed();
  return {{"total", summary.num_lines}, {"completed", summary.num_written + static_cast<int64_t>(output.num_done()) - failed}, {"failed", failed}};
}

std::string output_name(std::string_view id) { return fmt::format("{}_output.jsonl", id); }

}  // namespace

BatchJobs::BatchJobs(FileStore& files, EngineLoop& loop, const Options& options) : files_(files), loop_(loop), options_(options) {
  std::vector<json::object> found = files.load_all(kKind);
  std::ranges::reverse(found);  // the oldest goes on first
  for (json::object& batch : found) {
    const std::string id(batch.at("id").as_string());
    if (batch.at("status").as_string() == "cancelling") {  // that server ended first
      set_cancelled(batch);
      batch["output_file_id"] = published_output(batch);
      save(batch);
    }
    if (!ended(batch)) pending_.push_back(id);
    batches_.emplace(id, std::move(batch));
  }
  thread_ = std::thread([this] { work(); });
}

BatchJobs::~BatchJobs() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    stop_ = 1;
  }
  work_.notify_all();
  thread_.join();
}

json::object BatchJobs::create(const json::object& body) {
  FieldReader fields(body);
  const std::string input = fields.string("input_file_id").value_or("");
  if (!files_.find(input)) throw ApiError(404, fmt::format("there is no file '{}'", input), "input_file_id", "not_found");
  const std::string endpoint = fields.string("endpoint").value_or("");
  if (!endpoint_of(endpoint)) fields.fail("endpoint", kEndpointUrls);
  if (fields.string("completion_window").value_or("24h") != "24h") fields.fail("completion_window", "\"24h\"");
  const json::value* metadata = fields.value("metadata");
  if (metadata != nullptr && !metadata->is_object()) fields.fail("metadata", "an object");
  fields.finish();
  const std::string id = files_.reserve(kKind);
  json::object batch = new_batch(id, input, endpoint, metadata);
  files_.save(id, batch);
  {
    const std::lock_guard lock(mutex_);
    batches_[id] = batch;
    pending_.push_back(id);
  }
  work_.notify_one();
  return batch;
}

std::vector<json::object> BatchJobs::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<json::object> all;
  for (const auto& [id, batch] : batches_) all.push_back(batch);
  std::ranges::stable_sort(all, std::greater<>(), [](const json::object& batch) { return batch.at("created_at").as_int64(); });
  return all;
}

std::optional<json::object> BatchJobs::find(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = batches_.find(id);
  return found == batches_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<json::object> BatchJobs::cancel(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = batches_.find(id);
  if (found == batches_.end()) return std::nullopt;
  json::object& batch = found->second;
  if (ended(batch)) return batch;
  batch["status"] = "cancelling";
  batch["cancelling_at"] = std::time(nullptr);
  if (std::erase(pending_, id) > 0) {
    set_cancelled(batch);
    batch["output_file_id"] = published_output(batch);  // of an earlier server
  }
  if (running_ == id) stop_ = 1;
  save(batch);
  return batch;
}

void BatchJobs::update(const std::string& id, const json::object& changes) {
  const std::lock_guard lock(mutex_);
  json::object& batch = batches_.at(id);
  for (const auto& [name, value] : changes) batch[name] = value;
  save(batch);
}

void BatchJobs::save(const json::object& batch) {
  try {
    files_.save(std::string(batch.at("id").as_string()), batch);
  } catch (const Error& error) {  // the disk is full: what is in memory holds, and the next change tries again
    log_warning(error.what());
  }
}

json::value BatchJobs::published_output(const json::object& batch) {
  const json::value& id = batch.at("output_file_id");
  if (!id.is_string() || !std::filesystem::exists(files_.path_of(std::string(id.as_string())))) return nullptr;
  try {
    const std::string file(id.as_string());
    BatchOutput(files_.path_of(file), false);  // which cuts a torn line
    files_.publish(file, output_name(batch.at("id").as_string()), "batch_output");
    return id;
  } catch (const Error& error) {
    log_warning(error.what());
    return nullptr;
  }
}

void BatchJobs::work() {
  while (true) {
    std::string id;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return ending_ || !pending_.empty(); });
      if (ending_) return;
      id = running_ = pending_.front();
      pending_.pop_front();
      stop_ = 0;
      json::object& batch = batches_.at(id);
      batch["status"] = "in_progress";
      batch["in_progress_at"] = std::time(nullptr);
      save(batch);
    }
    run(id);
    const std::lock_guard lock(mutex_);
    running_.clear();
  }
}

void BatchJobs::run(const std::string& id) {
  try {
    answer_lines(id);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) return;  // the server ends: the next one goes on
    log_warning(fmt::format("{} failed: {}", id, error.what()));
    const json::object problem{{"code", "invalid_value"}, {"message", error.what()}, {"line", nullptr}, {"param", nullptr}};
    const json::object errors{{"object", "list"}, {"data", json::array{problem}}};
    update(id, {{"status", "failed"}, {"failed_at", std::time(nullptr)}, {"errors", errors}, {"output_file_id", published_output(*find(id))}});
  }
}

void BatchJobs::answer_lines(const std::string& id) {
  const json::object batch = *find(id);
  const std::string input_id(batch.at("input_file_id").as_string());
  std::string output_id = batch.at("output_file_id").is_string() ? std::string(batch.at("output_file_id").as_string()) : "";
  if (output_id.empty()) {
    output_id = files_.reserve("file");
    update(id, {{"output_file_id", output_id}});
  }
  const BatchInput input(files_.path_of(input_id));
  BatchOutput output(files_.path_of(output_id), false);
  LoopRunner engine(loop_, id, static_cast<size_t>(options_.max_in_flight));
  BatchRunner::Options options;
  options.context = options_.context;
  options.context.now_unix = std::time(nullptr);
  options.model_name = options_.model_name;
  options.max_in_flight = options_.max_in_flight;
  options.signal = &stop_;
  options.url = std::string(batch.at("endpoint").as_string());
  options.on_line = [&](const BatchSummary& summary) { update(id, {{"request_counts", counts(summary, output)}}); };
  Progress silent(ProgressMode::kNone);
  const BatchSummary summary = BatchRunner(engine, input, output, options).run(silent);
  files_.publish(output_id, output_name(id), "batch_output");
  const int64_t now = std::time(nullptr);
  if (!summary.interrupted) {
    update(id, {{"status", "completed"}, {"finalizing_at", now}, {"completed_at", now}, {"request_counts", counts(summary, output)}});
  } else if (find(id)->at("status").as_string() == "cancelling") {  // else the server ends, and the next one goes on
    update(id, {{"status", "cancelled"}, {"cancelled_at", now}});
  }
}

}  // namespace terrace
