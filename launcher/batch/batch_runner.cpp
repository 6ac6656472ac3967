#include "launcher/batch/batch_runner.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <boost/json.hpp>
#include <chrono>
#include <ctime>
#include <utility>

#include "launcher/api/api_error.h"
#include "launcher/api/json_body.h"

namespace terrace {
namespace {

namespace json = boost::json;

double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

uint64_t hash_of(const std::string& custom_id) { return XXH3_64bits(custom_id.data(), custom_id.size()); }

std::string result_id(const std::string& custom_id) { return fmt::format("batch_req_{:016x}", hash_of(custom_id)); }

}  // namespace

BatchRunner::BatchRunner(SequenceRunner& engine, const BatchInput& input, BatchOutput& output, const Options& options)
    : engine_(engine), input_(input), output_(output), options_(options) {
  summary_.num_lines = static_cast<int64_t>(input.lines().size());
}

BatchSummary BatchRunner::run(Progress& progress) {
  started_ = now_seconds();
  for (feed(); engine_.busy() && !stop_asked(); feed()) {
    for (const SequenceEvent& event : engine_.step()) handle(event);
    output_.sync(false);
    show(progress);
  }
  output_.sync(true);
  summary_.interrupted = stop_asked();
  summary_.seconds = now_seconds() - started_;
  return summary_;
}

void BatchRunner::feed() {
  const auto room = static_cast<size_t>(options_.max_in_flight);
  while (next_line_ < input_.lines().size() && in_flight_.size() < room && !stop_asked()) {
    const BatchLine& line = input_.lines()[next_line_++];
    if (output_.is_done(line.custom_id)) {
      ++summary_.num_skipped;
    } else if (line.readable) {
      start(line);
    } else {
      write_unreadable(line);
    }
  }
}

void BatchRunner::start(const BatchLine& line) {
  try {
    CompletionContext context = options_.context;
    context.default_seed = hash_of(line.custom_id);
    auto job = std::make_shared<Job>();
    job->line = &line;
    const json::object object = parse_json_object(input_.text(line), "the line");
    job->request = read_batch_request(object, context);
    if (!options_.url.empty() && object.at("url").as_string() != options_.url) throw ApiError(400, fmt::format("'url' must be {}, as the batch says", options_.url), "url");
    job->collector = job->request.make_collector(*context.tokenizer);
    for (int32_t i = 0; i < job->request.num_choices(); ++i) {
      const SequenceId id = engine_.submit(job->request.choice(i));
      job->sequences.push_back(id);
      in_flight_.emplace(id, Place{job, i});
    }
  } catch (const ApiError& error) {
    write_response(line, error.status(), error.body());
  }
}

void BatchRunner::handle(const SequenceEvent& event) {
  const auto it = in_flight_.find(event.id);
  if (it == in_flight_.end()) return;  // cancelled before
  const Place place = it->second;
  Job& job = *place.job;
  if (event.finish != FinishReason::kNone) in_flight_.erase(it);
  try {
    if (job.collector->accept(place.choice, event)) {
      engine_.finish(event.id);
      in_flight_.erase(event.id);
    }
  } catch (const ApiError& error) {
    drop(job);
    write_response(*job.line, error.status(), error.body());
    return;
  }
  if (!job.collector->done()) return;
  summary_.prompt_tokens += job.collector->prompt_tokens();
  summary_.completion_tokens += job.collector->completion_tokens();
  const std::string& model = job.request.model().empty() ? options_.model_name : job.request.model();
  const std::string id = fmt::format("{}-{:016x}", job.request.id_prefix(), hash_of(job.line->custom_id));
  write_response(*job.line, 200, job.collector->response(id, model, std::time(nullptr)));
}

void BatchRunner::drop(const Job& job) {
  for (const SequenceId id : job.sequences) {
    if (in_flight_.erase(id) > 0) engine_.cancel(id);
  }
}

void BatchRunner::write_response(const BatchLine& line, int status, json::object body) {
  if (status != 200) ++summary_.num_failed;
  write(line, json::object{{"status_code", status}, {"body", std::move(body)}}, nullptr);
}

void BatchRunner::write_unreadable(const BatchLine& line) {
  ++summary_.num_failed;
  write(line, nullptr, json::object{{"code", "invalid_value"}, {"message", input_.problem(line)}});
}

void BatchRunner::write(const BatchLine& line, json::value response, json::value error) {
  json::object result;
  result["id"] = result_id(line.custom_id);
  result["custom_id"] = line.custom_id;
  result["response"] = std::move(response);
  result["error"] = std::move(error);
  output_.append(json::serialize(result));
  ++summary_.num_written;
  if (options_.on_line) options_.on_line(summary_);
}

void BatchRunner::show(Progress& progress) const {
  if (!progress.enabled()) return;
  const double seconds = std::max(now_seconds() - started_, 1e-3);
  const EngineStats stats = engine_.stats();
  const int64_t done = summary_.num_written + summary_.num_skipped;
  const double rate = static_cast<double>(summary_.num_written) / seconds;
  const std::string left = summary_.num_written > 0 ? format_duration(static_cast<double>(summary_.num_lines - done) / rate) : "?";
  progress.update(static_cast<double>(done) / static_cast<double>(std::max<int64_t>(summary_.num_lines, 1)),
                  fmt::format("{}/{} done, {} failed | {:.0f} tok/s in, {:.0f} tok/s out | {} running, {} waiting | {} left", done, summary_.num_lines,
                              summary_.num_failed, static_cast<double>(stats.prompt_tokens) / seconds,
                              static_cast<double>(stats.generated_tokens) / seconds, stats.running, stats.waiting, left));
}

}  // namespace terrace
