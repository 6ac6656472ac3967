#include "launcher/serve_bench_command.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/bench/text_table.h"
#include "launcher/signals.h"
#include "launcher/stdio.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr int64_t kDefaultRequests = 100;
constexpr int32_t kMostTokens = 1 << 24;

/// With or without the /v1 that OpenAI's own clients want at an address' end.
Url base_url(const std::string& text) {
  Url url = parse_url(text);
  if (url.path.ends_with("/v1")) url.path.resize(url.path.size() - 3);
  return url;
}

std::string first_model(StreamClient& client) {
  boost::system::error_code failed;
  const json::value body = json::parse(client.get("/v1/models"), failed);
  const json::value* id = failed ? nullptr : body.find_pointer("/data/0/id", failed);
  if (id == nullptr || !id->is_string()) throw Error(ErrorCode::kInvalidValue, "the server's /v1/models lists no model: say which with --model");
  return std::string(id->get_string());
}

json::object read_extra_body(const std::string& text) {
  if (text.empty()) return {};
  boost::system::error_code failed;
  json::value value = json::parse(text, failed);
  if (failed || !value.is_object()) throw Error(ErrorCode::kInvalidValue, fmt::format("--body {} is not a JSON object", text));
  return std::move(value.get_object());
}

std::unique_ptr<LoadSource> make_source(const ServeBenchOptions& options, const BodyOptions& body) {
  if (!options.dataset.empty()) return read_dataset_source(options.dataset, body);
  if (!options.trace.empty()) return read_trace_source(options.trace, options.trace_page, options.speed, options.lengths.chat, body);
  return make_synthetic_source(options.lengths, body);
}

std::string range_text(int32_t from, int32_t to) { return from == to ? whole_number(from) : fmt::format("{} to {}", whole_number(from), whole_number(to)); }

std::string describe(const ServeBenchOptions& options, const std::string& model) {
  const SyntheticLengths& lengths = options.lengths;
  const std::string what = !options.dataset.empty() ? options.dataset
                           : !options.trace.empty()
                               ? fmt::format("{}{}", options.trace, options.speed != 1 ? fmt::format(" at {} times its speed", short_number(options.speed)) : "")
                               : fmt::format("synthetic, {} tokens in, {} shared, {} out", range_text(lengths.input_from, lengths.input_to), whole_number(lengths.shared_prefix),
                                             range_text(lengths.output_from, lengths.output_to));
  const std::string how = options.plan.concurrency ? fmt::format("{} at a time", whole_number(*options.plan.concurrency))
                          : options.plan.rate      ? fmt::format("{} a second", short_number(*options.plan.rate))
                                                   : "as recorded";
  return fmt::format("{}, {} ({}), {}", options.url, model, what, how);
}

LoadPlan complete_plan(const ServeBenchOptions& options, const LoadSource& source) {
  LoadPlan plan = options.plan;
  if (!plan.concurrency && !plan.rate && options.trace.empty()) {
    throw Error(ErrorCode::kInvalidValue, "how are requests to come? Give --rate N (a second), --concurrency N (at a time), or a --trace with times");
  }
  if (!plan.requests && !plan.seconds && !source.size()) plan.requests = kDefaultRequests;
  return plan;
}

void show(Progress& bar, const LoadProgress& progress) {
  const double rate = progress.seconds > 0 ? static_cast<double>(progress.pieces) / progress.seconds : 0;
  bar.update(progress.fraction, fmt::format("{} of {} begun are answered, {} failed; {} pieces a second", whole_number(progress.ended),
                                            whole_number(progress.begun), whole_number(progress.failed), short_number(rate)));
}

}  // namespace

void parse_length_range(const std::string& text, const std::string& flag, int32_t& from, int32_t& to) {
  const auto read = [&](const char* begin, const char* end, int32_t& value) {
    const auto [stop, error] = std::from_chars(begin, end, value);
    return error == std::errc() && stop == end && value > 0 && value <= kMostTokens;
  };
  const size_t dash = std::min(text.find('-'), text.size());
  const char* middle = text.data() + dash;
  const char* end = text.data() + text.size();
  if (!read(text.data(), middle, from) || (dash == text.size() ? (to = from, false) : !read(middle + 1, end, to)) || from > to) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("{}: '{}' is neither a number of tokens nor a range such as 100-300", flag, text));
  }
}

int run_serve_bench(const ServeBenchOptions& options) {
  const SignalWatch signals;
  StreamClient client({.url = base_url(options.url), .api_key = options.api_key, .timeout = std::chrono::seconds(options.timeout_seconds)});
  BodyOptions body = {.model = options.model, .ignore_eos = options.ignore_eos, .extra = read_extra_body(options.extra_body)};
  if (body.model.empty()) body.model = first_model(client);
  const std::unique_ptr<LoadSource> source = make_source(options, body);
  Progress bar(options.progress);
  const LoadResult result = run_load(client, *source, complete_plan(options, *source), [&](const LoadProgress& progress) {
    show(bar, progress);
    return signals.received() == 0;
  });
  bar.clear();
  if (signals.received() != 0) log_warning("interrupted: the report holds what was answered until then");
  const LoadReport report = make_load_report(describe(options, body.model), result, options.target);
  write_stdout(options.format == LoadReportFormat::kJson ? load_report_json(report) : load_report_table(report, options.format == LoadReportFormat::kMarkdown));
  return signals.exit_code();
}

}  // namespace terrace
