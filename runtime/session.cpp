#include "runtime/session.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
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
#include "runtime/step_plan.h"
#include "runtime/text/chat_prompt.h"
#include "runtime/text/tokenizer.h"
#include "runtime/trace_writer.h"
#include "runtime/worker.h"

namespace terrace {
namespace {

// What ranks tell each other before the first step: they must be the same program with the same pages.
struct Introduction {
  uint64_t build = 0;
  uint64_t layout = 0;  // of a page, and what is seen of pages
  std::array<int64_t, kNumTiers> num_frames = {};
  int64_t weight_bytes = 0;
};

// Its tokens and page table are then about 100 MB on rank 0.
constexpr int32_t kLongestStream = 1 << 24;

uint64_t hash_of(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

Introduction introduce(const MemoryPlan& memory, const ModelConfig& model, const std::array<int64_t, kNumTiers>& num_frames, size_t weight_bytes) {
  const PageLayout& layout = memory.layout;
  Introduction self;
  self.build = hash_of(fmt::format("terrace {} plan {}", TERRACE_VERSION, kPlanVersion));
  // KV heads may be dealt unevenly; all else of a page is the same everywhere.
  self.layout = hash_of(fmt::format("{} {} {} {} {} {} {} {} {} {}", model.architecture, kv_format_name(layout.format()), kv_format_name(memory.stored_layout.format()),
                                    layout.page_tokens, layout.num_layers, memory.num_groups, layout.head_dim, layout.summary_bytes, fmt::join(model.windows, ","), model.sinks));
  self.num_frames = num_frames;
  self.weight_bytes = static_cast<int64_t>(weight_bytes);
  return self;
}

template <typename T>
Bytes to_bytes(const T& value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  return {begin, begin + sizeof value};
}

std::string mib(int64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

int threads_per_rank(const Config& config, const RankGroup& group) {
  const int cores = usable_cores();
  if (config.parallel.threads == 0) return std::max(1, cores / group.local_size);
  if (config.parallel.threads * group.local_size > std::max(cores, group.local_size)) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("parallel.threads is {} for each of {} ranks, but this host has {} cores: use auto or a smaller number",
                                                      config.parallel.threads, group.local_size, cores));
  }
  return config.parallel.threads;
}

int64_t num_disk_frames(const Config& config, const MemoryPlan& memory) {
  const DiskSection& disk = config.cache.disk;
  const bool wanted = disk.path != "none";
  if (wanted != (disk.size.bytes > 0)) {
    throw Error(ErrorCode::kInvalidValue, "a disk tier needs both cache.disk.path and cache.disk.size (in bytes, like 20GiB)");
  }
  if (!wanted) return 0;
  if (memory.num_host_frames == 0) throw Error(ErrorCode::kInvalidValue, "cache.disk needs a host tier, through which pages go to the disk and back: set cache.host");
  return static_cast<int64_t>(static_cast<size_t>(disk.size.bytes) / memory.stored_layout.page_stride);
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
  void check_in_place() const;
  void make_codec();
  void allocate_pages();
  void agree_on_frames();
  void announce(const std::vector<Introduction>& ranks) const;
  void make_page_store();
  std::string origin_of_pages() const;
  std::vector<DiskRecord> gather_recovered();

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
  for (const Bytes& bytes : group.control->gather(to_bytes(on_device))) {  // before NCCL, whose ranks would wait for those that do not use it
    if ((bytes.at(0) != std::byte{0}) == on_device) continue;
    throw Error(ErrorCode::kInvalidValue, fmt::format("rank 0 runs on {} and another rank does not: say backend: cpu, or mend the driver or the CUDA module of "
                                                      "the host that lacks it", backend->describe()));
  }
  if (model.reads_sparsely()) backend->check_sparse_reading();
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
  check_in_place();
  make_codec();
  DecoderWeights weights = file ? load_weights(*file, model, shard, *backend, options.load_progress)
                                : make_dummy_weights(config.model.geometry, model, shard, *backend, options.load_progress);
  weight_bytes = weights.bytes;
  decoder = std::make_unique<Decoder>(model, shard, std::move(weights), *backend, collective ? *collective : *group.collective,
                                      config.scheduler.max_tokens_per_step);
}

void Session::Impl::check_in_place() const {
  if (!config.cache.in_place) return;
  if (*std::ranges::min_element(model.windows) > 0) {
    throw Error(ErrorCode::kInvalidValue, "cache.in_place is of no use where all layers have a window (attention.window): such sequences need few pages, whatever their length");
  }
  if (memory.num_host_frames == 0 || !config.cache.prefixes || !config.cache.enabled) {
    throw Error(ErrorCode::kInvalidValue, "cache.in_place needs a host tier (cache.host) and cache.prefixes: rows read the pages that these keep");
  }
  if (!backend->reads_host_pages()) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("cache.in_place: {} does not have registered host memory at the host's addresses, so its rows cannot read pages there: leave cache.in_place out, or "
                                                      "say backend: cpu", backend->describe()));
  }
}

void Session::Impl::make_codec() {
  if (memory.stored_layout == memory.layout || memory.num_host_frames == 0) return;
  if (config.cache.in_place) {
    throw Error(ErrorCode::kInvalidValue, "cache.host_format Q8 and cache.in_place exclude one another: rows read only pages of cache.format; set cache.format to Q8 too, or leave one of the two out");
  }
  if (model.reads_sparsely()) {
    throw Error(ErrorCode::kInvalidValue, "cache.host_format Q8 and attention.sparse exclude one another: a page comes back rounded, and its summary would bound it no more; set cache.format to Q8 too, or leave one of the two out");
  }
  codec = backend->make_page_codec(memory.layout, memory.stored_layout);
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
  if (disk_frames > 0) on_disk = gather_recovered();
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
    disk.digest = hash_of(fmt::format("{}, rank {}", origin, group.rank));
    disk.page_tokens = config.cache.page_tokens;
    disk.io = config.cache.disk.io;
  }
  store = std::make_unique<PageStore>(*backend, store_options);
}

// Only pages that are whole on every rank live: rank 0 keeps those whose frame holds the same key on all of them.
std::vector<DiskRecord> Session::Impl::gather_recovered() {
  std::vector<DiskRecord> found = store ? store->recovered() : std::vector<DiskRecord>();
  std::vector<PageKey> keys(static_cast<size_t>(disk_frames));  // by frame; zero: none
  for (const DiskRecord& record : found) keys[record.frame] = record.page.key;
  const auto bytes = std::as_bytes(std::span(keys));
  for (const Bytes& other : group.control->gather(Bytes(bytes.begin(), bytes.end()))) {
    std::erase_if(found, [&](const DiskRecord& record) {
      PageKey key;
      std::memcpy(&key, other.data() + record.frame * sizeof key, sizeof key);
      return key != record.page.key;
    });
  }
  return found;
}

// Rank 0 books frames once for all, so every rank has as many as the poorest.
void Session::Impl::agree_on_frames() {
  std::array<int64_t, kNumTiers> num_frames = {memory.num_frames, memory.num_host_frames, num_disk_frames(config, memory)};
  const Introduction self = introduce(memory, model, num_frames, weight_bytes);
  std::vector<Introduction> ranks;
  for (const Bytes& bytes : group.control->gather(to_bytes(self))) {
    Introduction other;
    if (bytes.size() == sizeof other) std::memcpy(&other, bytes.data(), sizeof other);
    if (other.build != self.build || other.layout != self.layout) {
      throw Error(ErrorCode::kPlanMismatch, fmt::format("rank {} runs another build or another model than rank 0: start all ranks from one installation",
                                                        ranks.size()));
    }
    for (size_t tier = 0; tier < num_frames.size(); ++tier) num_frames[tier] = std::min(num_frames[tier], other.num_frames[tier]);
    ranks.push_back(other);
  }
  Bytes agreed = to_bytes(num_frames);
  group.control->broadcast(agreed);
  std::memcpy(&num_frames, agreed.data(), sizeof num_frames);
  memory.num_frames = static_cast<int32_t>(num_frames[0]);
  memory.kv_bytes = static_cast<size_t>(num_frames[0]) * memory.layout.page_stride;
  memory.num_host_frames = static_cast<int32_t>(num_frames[1]);
  memory.host_bytes = static_cast<size_t>(num_frames[1]) * memory.stored_layout.page_stride;
  disk_frames = static_cast<int32_t>(num_frames[2]);
  if (group.rank == 0 && options.announce) announce(ranks);
}

void Session::Impl::announce(const std::vector<Introduction>& ranks) const {
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
