#include "launcher/serve/access_log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <boost/json.hpp>

namespace terrace {
namespace {

namespace json = boost::json;

double milliseconds(int64_t from_us, int64_t to_us) { return static_cast<double>(to_us - from_us) * 1e-3; }

}  // namespace

AccessLog::AccessLog(bool enabled) : logger_(std::make_shared<spdlog::logger>("access", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  logger_->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z",%v})");
  if (!enabled) logger_->set_level(spdlog::level::off);
}

void AccessLog::write(const AccessRecord& record) {
  if (!logger_->should_log(spdlog::level::info)) return;
  json::object fields{{"id", record.id}, {"route", record.route}, {"status", record.status}, {"key", record.owner},
                      {"total_ms", milliseconds(record.begun_us, record.ended_us)}};
  const RequestTimes& times = record.times;
  if (record.prompt_tokens > 0) fields["prompt_tokens"] = record.prompt_tokens;
  if (times.first_token_us != 0) {
    fields["tokens"] = times.num_tokens;
    fields["by_source"] = json::object{{"computed", times.sources.computed}, {"device", times.sources.device}, {"host", times.sources.host}, {"disk", times.sources.disk}};
    fields["queue_ms"] = milliseconds(times.arrived_us, times.started_us);
    fields["prefill_ms"] = milliseconds(times.started_us, times.first_token_us);
    fields["decode_ms"] = milliseconds(times.first_token_us, times.last_token_us);
    fields["client_ms"] = milliseconds(times.last_token_us, record.ended_us);
  }
  const std::string text = json::serialize(fields);
  logger_->info(std::string_view(text).substr(1, text.size() - 2));
}

}  // namespace terrace
