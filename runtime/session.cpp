#include "runtime/session.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "comm/device_collective.h"
#include "kernels/backend.h"
#include "kernels/base/clock.h"
#include "kernels/base/cpu_count.h"
#include "kernels/base/log.h"
#include "runtime/available_memory.h"
#include "runtime/memory_planner.h"
#include "runtime/model/decoder.h"
#include "runtime/model/gguf.h"
#include "runtime/model/sparse_layers.h"
#include "runtime/model/weights.h"
#include "runtime/page_origin.h"
#include "runtime/rank_agreement.h"
#include "runtime/step_plan.h"
#include "runtime/text/chat_prompt.h"
#include "runtime/text/tokenizer.h"
#include "runtime/tier_rules.h"
#include "runtime/trace_writer.h"
#include "runtime/worker.h"

namespace terrace {
namespace {

// Its tokens and page table are then about 100 MB on rank 0.
constexpr int32_t kLongestStream = 1 << 24;

std::string mib(int64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

int threads_per_rank(const Config& config, const RankGroup& group) {
  const int cores = std::max(1, group.cores);
  if (config.parallel.threads > cores) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("parallel.threads is {}, but of this host's cores this rank has {}, one of {} ranks: use auto or a smaller number",
                                                      config.parallel.threads, cores, group.local_size));
  }
  return config.parallel.threads == 0 ? cores : config.parallel.threads;
}

/// A thread packs the weights that it is going to read, so they lie on its node; but it may be moved, and what all threads read is everywhere.
void advise_on_memory_nodes(const RankGroup& group, int num_threads) {
  const int nodes = count_memory_nodes(affinity_mask());
  if (nodes == 1 || num_threads == 1 || group.local_rank != 0) return;
  log_warning(fmt::format("the {} threads of a rank are spread over {} memory nodes, and slow to read what lies on another: start a rank for each node, "
                          "by mpirun --map-by numa --bind-to numa", num_threads, nodes));
}

BackendOptions backend_options(const Config& config, const RankGroup& group) {
  BackendOptions options;
  options.num_threads = threads_per_rank(config, group);
  options.spin = group.spin;
  options.device = group.local_rank;
  options.numerics = config.numerics == "invariant" ? Numerics::kInvariant : config.numerics == "fast" ? Numerics::kFast : Numerics::kAuto;
  options.graphs = config.graphs;
  return options;
}

}  // namespace

struct Session::Impl {
  Impl(const Config& session_config, RankGroup& rank_group, const Options& session_options)
      : config(session_config), group(rank_group), options(session_options) {}

  void open_model();
  void open_backend();
  void connect_devices();
  void load();
  void allocate_pages();
  void agree_on_frames();
  void announce(const std::vector<RankIntroduction>& ranks) const;
  void make_page_store();
  std::string origin_of_pages() const;

  const Config config;
  RankGroup& group;
  const Options options;

  std::optional<GgufFile> file;  // empty with random weights
  ModelConfig model;
  Shard shard;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Decoder> decoder;
  MemoryPlan memory;
  size_t weight_bytes = 0;
  Buffer pages;                     // the device's; on the CPU followed by the host's
  int32_t disk_frames = 0;
  std::string origin;               // of pages; only a file outlives the run that names it
  std::unique_ptr<PageCodec> codec;  // where colder tiers have another format
  std::unique_ptr<PageStore> store;  // where there are colder tiers
  std::unique_ptr<Worker> worker;
  std::unique_ptr<TraceWriter> trace;  // rank 0, where it is wanted
  std::unique_ptr<Engine> engine;      // rank 0
  // On devices, instead of the group's. The first to go: freeing device memory waits for all that is queued, and after a failure only this ends
  // a sum that the others will not join.
  std::unique_ptr<Collective> collective;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;
};

Session::Session(const Config& config, RankGroup& group, const Options& options) : impl_(std::make_unique<Impl>(config, group, options)) {
  if (config.trace != "none" && group.rank == 0) impl_->trace = std::make_unique<TraceWriter>(config.trace, group.size, steady_clock().now_us());
  impl_->open_model();
  impl_->open_backend();
  impl_->load();
  impl_->allocate_pages();
}

Session::~Session() = default;

void Session::Impl::open_model() {
  if (config.model.load == "dummy") {
    model = make_dummy_model_config(config.model.geometry);
  } else {
    if (config.model.path.empty()) throw Error(ErrorCode::kInvalidValue, "no model: set model.path to a GGUF file, or model.load to dummy");
    file = GgufFile::open(config.model.path);
    model = read_model_config(*file);
  }
  set_attention_window(config.attention, model);
  set_sparse_reading(config.attention.sparse, model);
  shard = make_shard(model, group.rank, group.size);
  if (!file || group.rank != 0) return;  // text is rank 0's business
  tokenizer = make_tokenizer(*file);
  chat_template = read_chat_template(*file, *tokenizer);
}

void Session::Impl::open_backend() {
  backend = make_backend(config.backend, backend_options(config, group));
  const bool on_device = backend->stream() != nullptr;
  if (!on_device) advise_on_memory_nodes(group, threads_per_rank(config, group));
  agree_on_device(group, on_device, backend->describe());  // before NCCL, whose ranks would wait for those that do not use it
  if (model.reads_sparsely()) backend->check_sparse_reading(model.sparse);
  if (on_device) connect_devices();
}

void Session::Impl::connect_devices() {
  if (!group.mpi && group.size > 1 && group.rank == 0) {
    log_warning(fmt::format("ranks as threads of one process may wait for each other for ever on several GPUs (docs/cuda.md): start them with mpirun -n {}", group.size));
  }
  const int64_t hidden = model.hidden_size;
  DeviceLink link;
  link.stream = backend->stream();
  link.buffer_floats = static_cast<size_t>(config.scheduler.max_tokens_per_step * hidden);
  link.allocate = [this](size_t bytes) { return backend->allocate(bytes); };
  link.forget_graphs = [this] { backend->forget_graphs(); };
  if (config.numerics == "invariant") {
    link.add = [this, hidden](float* sum, const float* part, size_t count) {
      const int64_t rows = static_cast<int64_t>(count) / hidden;
      backend->add({sum, rows, hidden, hidden}, {const_cast<float*>(part), rows, hidden, hidden});
    };
  }
  collective = make_device_collective(group, link);
}

void Session::Impl::load() {
  // Before anything is allocated: too little memory is a sentence at the start, not a killed process after minutes of loading.
  MemoryInputs inputs;
  inputs.available = backend->free_memory().value_or(read_available_memory() / static_cast<size_t>(group.local_size));
  if (backend->free_memory()) inputs.host_available = read_available_memory() / static_cast<size_t>(group.local_size);
  inputs.weight_bytes = file ? estimate_weight_bytes(*file, model, shard, *backend)
                             : estimate_weight_bytes(config.model.geometry, model, shard, *backend);
  memory = plan_memory(config, model, shard, inputs);
  check_tiers(config.cache, model, memory, *backend);
  disk_frames = static_cast<int32_t>(num_disk_frames(config.cache, memory));
  if (memory.stores_another_format()) codec = backend->make_page_codec(memory.layout, memory.stored_layout);
  DecoderWeights weights = file ? load_weights(*file, model, shard, *backend, options.load_progress)
                                : make_dummy_weights(config.model.geometry, model, shard, *backend, options.load_progress);
  weight_bytes = weights.bytes;
  decoder = std::make_unique<Decoder>(model, shard, std::move(weights), *backend, collective ? *collective : *group.collective,
                                      config.scheduler.max_tokens_per_step);
}

void Session::Impl::allocate_pages() {
  agree_on_frames();
  if (disk_frames > 0) origin = origin_of_pages();
  make_page_store();
  KvPool pool = {pages.data(), memory.layout};
  if (config.cache.in_place && backend->free_memory()) {
    pool.host = store->host_page(0);
    pool.num_frames = static_cast<uint32_t>(memory.num_frames);
  }
  const Worker::Frames frames = {memory.num_frames, config.cache.in_place ? memory.num_host_frames : 0};
  worker = std::make_unique<Worker>(*decoder, *backend, *group.control, pool, frames, config.scheduler.max_sequences, store.get());
  std::vector<DiskRecord> on_disk;
  if (disk_frames > 0) on_disk = records_of_all(group, store ? store->recovered() : std::vector<DiskRecord>(), disk_frames);
  if (group.rank != 0) return;
  Engine::Options engine_options;
  engine_options.num_disk_frames = disk_frames;
  engine_options.on_disk = std::move(on_disk);
  engine_options.scheduler = config.scheduler;
  engine_options.cache = config.cache;
  engine_options.num_frames = memory.num_frames;
  engine_options.num_host_frames = memory.num_host_frames;
  engine_options.context_length = model.endless ? kLongestStream : model.context_length;
  engine_options.windows = decoder->layer_groups().windows;
  engine_options.sparse = model.reads_sparsely();
  engine_options.sparse_prompts_from = config.attention.sparse.prompts_from;
  engine_options.origin = origin;
  engine_options.trace = trace.get();
  engine = std::make_unique<Engine>(group, *worker, engine_options);
}

std::string Session::Impl::origin_of_pages() const {
  PageOriginInputs inputs;
  inputs.file = file ? &*file : nullptr;
  inputs.geometry = &config.model.geometry;
  inputs.model = &model;
  inputs.layout = memory.layout;
  inputs.stored = memory.stored_layout.format();
  inputs.num_ranks = group.size;
  inputs.ranks_per_host = config.comm.pretend_hosts > 1 ? (group.local_size + config.comm.pretend_hosts - 1) / config.comm.pretend_hosts : group.local_size;
  inputs.arithmetic = backend->arithmetic();
  return page_origin(inputs);
}

void Session::Impl::make_page_store() {
  // On the CPU both tiers are one block of memory, so that a kernel's frame number may name a page of either.
  const bool shares_memory = !backend->free_memory();
  pages = backend->allocate(memory.kv_bytes + (shares_memory ? memory.host_bytes : 0));
  if (memory.num_host_frames == 0) return;
  PageStore::Options store_options;
  store_options.device_base = pages.data();
  store_options.page_bytes = memory.layout.page_stride;
  store_options.codec = codec.get();
  store_options.num_device_frames = static_cast<uint32_t>(memory.num_frames);
  store_options.num_host_frames = static_cast<uint32_t>(memory.num_host_frames);
  if (shares_memory) store_options.host_base = pages.data() + memory.kv_bytes;
  store_options.read_in_place = config.cache.in_place;
  store_options.link = {static_cast<double>(config.cache.link.bandwidth.bytes), config.cache.link.latency_us};
  if (disk_frames > 0) {
    DiskOptions& disk = store_options.disk.emplace();
    disk.path = fmt::format("{}.rank{}", config.cache.disk.path, group.rank);
    disk.num_frames = static_cast<uint32_t>(disk_frames);
    const std::string name = fmt::format("{}, rank {}", origin, group.rank);
    disk.digest = XXH3_64bits(name.data(), name.size());
    disk.page_tokens = config.cache.page_tokens;
    disk.io = config.cache.disk.io;
  }
  store = std::make_unique<PageStore>(*backend, store_options);
}

// Rank 0 books frames once for all, so every rank has as many as the poorest.
void Session::Impl::agree_on_frames() {
  const std::vector<RankIntroduction> ranks = introduce_ranks(group, memory, model, disk_frames, weight_bytes);
  const TierFrames num_frames = frames_of_all(group, ranks);
  memory.num_frames = static_cast<int32_t>(num_frames[0]);
  memory.kv_bytes = static_cast<size_t>(num_frames[0]) * memory.layout.page_stride;
  memory.num_host_frames = static_cast<int32_t>(num_frames[1]);
  memory.host_bytes = static_cast<size_t>(num_frames[1]) * memory.stored_layout.page_stride;
  disk_frames = static_cast<int32_t>(num_frames[2]);
  if (group.rank == 0 && options.announce) announce(ranks);
}

void Session::Impl::announce(const std::vector<RankIntroduction>& ranks) const {
  log_info(fmt::format("{}: {} layers, {} query / {} KV heads, on {} rank{} ({})", model_title(model),
                       model.num_layers, model.num_q_heads, model.num_kv_heads, group.size, group.size == 1 ? "" : "s", backend->describe()));
  const std::string stored = codec == nullptr ? "" : fmt::format(" of {}", kv_format_name(memory.stored_layout.format()));
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const Shard s = make_shard(model, static_cast<int>(rank), group.size);
    log_info(fmt::format("  rank {}: query heads {}-{}, KV heads {}-{}, weights {}, {} KV pages = {} tokens", rank, s.q_heads.begin, s.q_heads.end - 1,
                         s.kv_heads.begin, s.kv_heads.end - 1, mib(ranks[rank].weight_bytes), memory.num_frames, memory.tokens_in(memory.num_frames)));
  }
  if (disk_frames > 0) log_info(fmt::format("  disk tier of each rank: {} KV pages{} = {} tokens, in {}.rank*", disk_frames, stored, memory.tokens_in(disk_frames), config.cache.disk.path));
  if (memory.num_host_frames > 0) log_info(fmt::format("  host tier of each rank: {} KV pages{} = {} tokens", memory.num_host_frames, stored, memory.tokens_in(memory.num_host_frames)));
}

void Session::follow() {
  for (;;) {
    Bytes bytes;
    impl_->group.control->broadcast(bytes);
    const StepPlan plan = decode_plan(bytes);
    if (plan.kind == StepKind::kStop) return;
    impl_->worker->execute(plan);
  }
}

Engine& Session::engine() { return *impl_->engine; }
const ModelConfig& Session::model() const { return impl_->model; }
Backend& Session::backend() { return *impl_->backend; }
const MemoryPlan& Session::memory() const { return impl_->memory; }
const Tokenizer* Session::tokenizer() const { return impl_->tokenizer.get(); }
const ChatTemplate* Session::chat_template() const { return impl_->chat_template.get(); }

}  // namespace terrace
