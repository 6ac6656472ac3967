#include "launcher/serve_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <optional>

#include "comm/group.h"
#include "comm/last_words.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/cache_summary.h"
#include "launcher/config_file.h"
#include "launcher/grammar/grammar_compiler.h"
#include "launcher/http/api_service.h"
#include "launcher/http/completion_answer.h"
#include "launcher/http/http_server.h"
#include "launcher/http/local_name.h"
#include "launcher/serve/batch_jobs.h"
#include "launcher/serve/engine_loop.h"
#include "launcher/serve/file_store.h"
#include "launcher/session_options.h"
#include "launcher/signals.h"

namespace terrace {
namespace {

std::string unless_none(const std::string& value) { return value == "none" ? "" : value; }

HttpServer::Options http_options(const ServerSection& server) {
  if ((server.certificate == "none") != (server.private_key == "none")) {
    throw Error(ErrorCode::kInvalidValue, "server.certificate and server.private_key go together: give both, or neither");
  }
  if (server.host == "localhost") throw Error(ErrorCode::kInvalidValue, "server.host: localhost is not an IP address: write 127.0.0.1");
  return {.host = server.host,
          .port = static_cast<uint16_t>(server.port),
          .threads = server.threads,
          .max_connections = server.max_connections,
          .max_body = static_cast<uint64_t>(server.max_body.bytes),
          .max_bodies = static_cast<uint64_t>(server.max_bodies.bytes),
          .idle = std::chrono::seconds(server.idle_seconds),
          .certificate = unless_none(server.certificate),
          .private_key = unless_none(server.private_key)};
}

ApiService::Options service_options(const ServerSection& server) {
  return {.keys = server.api_keys == "none" ? ApiKeys() : ApiKeys::load(server.api_keys),
          .cors_origin = unless_none(server.cors_origin),
          .access_log = server.access_log,
          .local_only = server.api_keys == "none" && is_loopback(server.host)};
}

std::string model_name(const Session& session, const Config& config) {
  if (config.server.model_name != "none") return config.server.model_name;
  return session.model().name.empty() ? std::filesystem::path(config.model.path).stem().string() : session.model().name;
}

ServedModel served_model(Session& session, const Config& config, EngineLoop& loop) {
  if (session.tokenizer() == nullptr) throw Error(ErrorCode::kInvalidValue, "a dummy model has no tokenizer: terrace serve needs a model file");
  return {.name = model_name(session, config),
          .created = std::time(nullptr),
          .tokenizer = session.tokenizer(),
          .chat_template = session.chat_template(),
          .defaults = config.sampling,
          .pooling = default_pooling(config.embeddings, session.model()),
          .hidden_size = session.model().hidden_size,
          .max_sequence_tokens = std::min(session.engine().max_sequence_tokens(), session.model().context_length),
          .max_sequences = config.scheduler.max_sequences,
          .loop = &loop};
}

// What is behind /v1/files and /v1/batches, where server.files names a folder.
struct Batches {
  Batches(const ServerSection& server, const ServedModel& model)
      : files(server.files), jobs(files, *model.loop, {.context = context_of(model), .model_name = model.name, .max_in_flight = std::max(1, model.max_sequences / 2)}) {}

  static CompletionContext context_of(const ServedModel& model) {
    CompletionContext context = completion_context(model);
    context.serving = false;
    return context;
  }

  FileStore files;
  BatchJobs jobs;
};

EngineLoop::Options loop_options(const Config& config) {
  return {.max_queued = static_cast<size_t>(config.server.max_queued),
          .max_in_flight = config.scheduler.max_sequences + std::max(4, config.scheduler.max_sequences / 4),  // some wait in the engine, which fetches their pages ahead
          .drain_us = int64_t{config.server.drain_seconds} * 1'000'000};
}

// The port is open before the model is loaded: a wrong address is said at once, and /health answers from the beginning.
struct Front {
  explicit Front(const ServerSection& server)
      : service(service_options(server), metrics), http(http_options(server), [this](Exchange& exchange) { return service.handle(exchange); }) {}

  ServerMetrics metrics;
  ApiService service;
  HttpServer http;
};

// Rank 0's part. Whatever ends it, clients hear of it before their connections close.
void serve(Session& session, const Config& config, std::optional<Front>& front, const SignalWatch& signals, LastWords& last_words) {
  EngineLoop loop(session.engine(), front->metrics, loop_options(config));
  const auto lose = [&] {
    loop.abandon({500, "a rank of the server was lost; the request may be sent again when the server is back", "", "rank_lost"});
    front->http.drain(std::chrono::milliseconds(500));
  };
  last_words.set(lose);
  ServedModel model = served_model(session, config, loop);
  GrammarCompiler grammars(*model.tokenizer);
  model.grammars = &grammars;
  std::optional<Batches> batches;
  if (config.server.files != "none") {
    batches.emplace(config.server, model);
    model.files = &batches->files;
    model.batches = &batches->jobs;
  }
  front->service.open(std::move(model), front->http);
  log_info(fmt::format("serving on {}://{}:{}", config.server.certificate == "none" ? "http" : "https", config.server.host, front->http.port()));
  try {
    loop.run(signals.received());
    front->http.drain(std::chrono::seconds(5));
  } catch (...) {
    last_words.say();
    front.reset();
    throw;
  }
  last_words.set(nullptr);
  front.reset();  // before what it answers from
}

}  // namespace

int run_serve(const ServeOptions& options) {
  const LoadedConfig loaded = load_config(options.config, options.sets);
  const Config& config = loaded.config;
  const SignalWatch signals;
  LastWords last_words;
  GroupOptions group_of_ranks = group_options(config);
  group_of_ranks.last_words = &last_words;
  return run_ranks(group_of_ranks, [&](RankGroup& group) {
    Progress progress(options.progress);
    std::optional<Front> front;
    if (group.rank == 0) front.emplace(config.server);
    Session session(config, group, session_options(options.progress, group.rank, progress));
    progress.clear();
    if (group.rank != 0) return session.follow(), 0;
    serve(session, config, front, signals, last_words);
    session.engine().write_out();
    const EngineStats stats = session.engine().stats();
    session.engine().stop();
    log_info(cache_summary(stats));
    return 0;
  });
}

}  // namespace terrace
