#include "launcher/config_schema.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/suggest.h"

namespace terrace {
namespace {

using I = int32_t;
using S = std::string;
constexpr I kMany = 1 << 20;

std::vector<ConfigKey> model_keys() {
  return {
      {"model.path", path_value([](Config& c) -> S& { return c.model.path; }, "the path of a GGUF file", PathBase::kConfigFolder),
       "The model: a GGUF file, or any part of a split one. A relative path is relative to the configuration file (in --set: to the "
       "current folder)."},
      {"model.load", choice_value([](Config& c) -> S& { return c.model.load; }, {"file", "dummy"}),
       "`dummy` makes random weights of model.geometry instead of reading model.path: to try a layout without the model."},
      {"model.geometry.layers", integer_value([](Config& c) -> I& { return c.model.geometry.layers; }, 1, 1000),
       "Decoder layers of a dummy model."},
      {"model.geometry.hidden_size", integer_value([](Config& c) -> I& { return c.model.geometry.hidden_size; }, 32, kMany),
       "Width of the residual stream."},
      {"model.geometry.heads", integer_value([](Config& c) -> I& { return c.model.geometry.heads; }, 1, 4096),
       "Query heads; a multiple of kv_heads."},
      {"model.geometry.kv_heads", integer_value([](Config& c) -> I& { return c.model.geometry.kv_heads; }, 1, 4096),
       "Key and value heads."},
      {"model.geometry.head_dim", integer_or_auto_value([](Config& c) -> I& { return c.model.geometry.head_dim; }, 2, 1024),
       "Width of a head; auto is hidden_size / heads."},
      {"model.geometry.ffn_size", integer_value([](Config& c) -> I& { return c.model.geometry.ffn_size; }, 32, kMany),
       "Width of the feed-forward block."},
      {"model.geometry.vocab_size", integer_value([](Config& c) -> I& { return c.model.geometry.vocab_size; }, 32, 1 << 22),
       "Tokens in the vocabulary."},
      {"model.geometry.context_length", integer_value([](Config& c) -> I& { return c.model.geometry.context_length; }, 1, 1 << 24),
       "Positions that the model can see."},
      {"model.geometry.rope_base", real_value([](Config& c) -> double& { return c.model.geometry.rope_base; }, 1, 1e12),
       "Base of the rotary embedding."},
      {"model.geometry.format",
       dtype_value([](Config& c) -> DType& { return c.model.geometry.format; },
                   {DType::kF32, DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                    DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}),
       "Format of the linear layers' weights."},
  };
}

std::vector<ConfigKey> machine_keys() {
  return {
      {"backend", choice_value([](Config& c) -> S& { return c.backend; }, {"auto", "cpu", "cuda"}),
       "Which device computes. `auto` is CUDA where this installation has its module and the machine a driver and a GPU, else the CPU. Each rank of a host "
       "takes a GPU of its own."},
      {"parallel.ranks", integer_value([](Config& c) -> I& { return c.parallel.ranks; }, 1, 4096),
       "Tensor-parallel ranks as threads of one process. Under mpirun, `mpirun -n` decides and this is not used."},
      {"parallel.threads", integer_or_auto_value([](Config& c) -> I& { return c.parallel.threads; }, 1, 1024),
       "Worker threads of each rank; auto: all cores that it is bound to, shared with the ranks that are bound to the same."},
      {"comm.pretend_hosts", integer_value([](Config& c) -> I& { return c.comm.pretend_hosts; }, 0, 64),
       "Above 1: treat this host's ranks as if they were on so many hosts, to try the cross-host path on one."},
      {"numerics", choice_value([](Config& c) -> S& { return c.numerics; }, {"auto", "invariant", "fast"}),
       "`invariant`: a sequence's logits are bit-equal whatever else is in the batch and however its prompt was cut. `fast` lets CUDA choose the quickest "
       "way for each number of rows, and CPUs with AMX, and AMD's with AVX512_BF16, multiply bfloat16 in a prompt's attention, with AMX in linear layers of 16 rows or more "
       "too (a prompt takes 0.66 of the time on Zen 4, 0.35 to 0.45 with AMX); other CPUs have one way for both. `auto`: invariant on the CPU, fast on CUDA."},
      {"graphs", flag_value([](Config& c) -> bool& { return c.graphs; }),
       "CUDA: the layers of a step that decodes are recorded once for each number of rows (1, 2, 4, then multiples of 8, beyond 128 of 64), and then "
       "started as one graph. false: each kernel by itself, to compare."},
      {"trace", path_value([](Config& c) -> S& { return c.trace; }, "the path of a file, or none"),
       "A time-line of the run, written step by step as Chrome trace JSON for ui.perfetto.dev or chrome://tracing: plans, each rank's steps, page moves by link, "
       "requests, frames and sequences. About 1 KiB a step and rank. A relative path is relative to the current folder."},
  };
}

std::vector<ConfigKey> attention_keys() {
  return {
      {"attention.window", integer_value([](Config& c) -> I& { return c.attention.window; }, 0, kMany),
       "Above 0: each token sees only so many before it, its own included, and the first attention.sinks ones. Sequences may then be of any length, beyond "
       "the model's context and the pool, in constant memory. For models all of whose layers see everything. 0: as the model has it."},
      {"attention.sinks", integer_value([](Config& c) -> I& { return c.attention.sinks; }, 0, 4096),
       "With attention.window: tokens at the beginning of a sequence that stay in sight, however long it grows. Most models fall apart without the first few."},
      {"attention.sparse.mode", choice_value([](Config& c) -> S& { return c.attention.sparse.mode; }, {"off", "top", "bounded"}),
       "Generated tokens read some of their sequence's pages only, chosen anew by each token, layer and KV head by what the pages' keys may score at most. `top`: the attention.sparse.pages pages of the "
       "largest bounds. `bounded`: as many more as it takes until the others are proven to hold no more than attention.sparse.epsilon; CPU only. Prompts read all; pages take a little more memory."},
      {"attention.sparse.pages", integer_value([](Config& c) -> I& { return c.attention.sparse.pages; }, 1, kMany),
       "Pages chosen, beside sink_pages and recent_pages. A sequence of no more pages than all these reads all of them."},
      {"attention.sparse.epsilon", real_value([](Config& c) -> double& { return c.attention.sparse.epsilon; }, 0, 1),
       "Of `bounded`: what may be left out, as a share of the softmax's mass that is read. 0: nothing. The run's summary says what share was left out at most."},
      {"attention.sparse.first_layers", integer_value([](Config& c) -> I& { return c.attention.sparse.first_layers; }, 0, 1000),
       "Layers that read all: the first ones, whose attention is spread wide."},
      {"attention.sparse.sink_pages", integer_value([](Config& c) -> I& { return c.attention.sparse.sink_pages; }, 0, kMany),
       "First pages of a sequence, read always."},
      {"attention.sparse.recent_pages", integer_value([](Config& c) -> I& { return c.attention.sparse.recent_pages; }, 1, kMany),
       "Last pages of a sequence, read always; the one that is being filled is among them."},
      {"attention.sparse.prompts_from", integer_value([](Config& c) -> I& { return c.attention.sparse.prompts_from; }, 0, 1 << 24),
       "Above 0: a prompt's tokens read sparsely too, from this position on, as if they were generated. To measure what it costs: a text can then be scored (echo with logprobs)."},
  };
}

std::vector<ConfigKey> serving_keys() {
  return {
      {"cache.enabled", flag_value([](Config& c) -> bool& { return c.cache.enabled; }),
       "false keeps no KV cache: every step computes the whole sequence anew. For teaching and comparing."},
      {"cache.page_tokens", power_of_two_value([](Config& c) -> I& { return c.cache.page_tokens; }, 256),
       "Positions of one KV page. Small pages waste less memory, large ones have shorter page tables."},
      {"cache.format", kv_format_value([](Config& c) -> KvFormat& { return c.cache.format; }),
       "Number format of keys and values in the cache. Q8 keeps them as 8-bit integers, with one scale for each token and head: half the memory of F16, "
       "hardly a loss (docs/performance.md); Q8/F16: keys only. Q8/Q4: values of 4 bits, 27 % less than Q8 for a small loss; Q4: keys too, "
       "a third of F16 and a loss that shows. F8: floats of 8 bits (e4m3) without a scale, 6 % less than Q8 for heads of 64 and a little more lost."},
      {"cache.device", memory_value([](Config& c) -> MemorySize& { return c.cache.device; }),
       "Memory of each rank for KV pages. A share is of what is left to the rank after weights and workspace."},
      {"cache.prefixes", flag_value([](Config& c) -> bool& { return c.cache.prefixes; }),
       "Full pages stay in the cache as long as there is room, and a request that begins with the same tokens takes them over instead of computing them again."},
      {"cache.host", optional_memory_value([](Config& c) -> MemorySize& { return c.cache.host; }),
       "The second tier: memory of each rank's host for pages that the device has no room for. A share is of what is left to the rank; 0 is none."},
      {"cache.host_format", choice_value([](Config& c) -> S& { return c.cache.host_format; }, {"same", "Q8"}),
       "Number format of pages in the host tier and on disk: `same` as cache.format, or Q8: half the memory of F16, so twice the pages, rounded on their way out and back. What is computed from fetched pages then differs "
       "by about what cache.format Q8 costs, and the same request may give another text when its pages were fetched. On a GPU, half the bytes on its link. Not with cache.in_place or attention.sparse."},
      {"cache.in_place", flag_value([](Config& c) -> bool& { return c.cache.in_place; }),
       "Pages of the host tier are read where they lie, once verified, instead of being fetched; a sequence may then be as long as cache.host holds, whatever cache.device is. A GPU reads them over its link."},
      {"cache.fetch", choice_value([](Config& c) -> S& { return c.cache.fetch; }, {"auto", "always", "never"}),
       "Pages found in a colder tier: `auto` fetches them where that is faster than computing them again, by the rates measured so far; the others are to compare."},
      {"cache.policy", choice_value([](Config& c) -> S& { return c.cache.policy; }, {"lru", "reuse"}),
       "Which page a full tier gives up first: `lru`, the one unused longest; `reuse`, the one least likely to be asked for again, as learnt from what was."},
      {"cache.disk.path", path_value([](Config& c) -> S& { return c.cache.disk.path; }, "the path of a file, or none"),
       "The third tier: a file of pages for each rank, PATH.rank0 and so on, which the next run of the same model finds again, also after a crash. A relative path is relative to the current folder."},
      {"cache.disk.size", optional_bytes_value([](Config& c) -> MemorySize& { return c.cache.disk.size; }),
       "Size of each rank's file, all of it reserved at the start."},
      {"cache.disk.io", choice_value([](Config& c) -> S& { return c.cache.disk.io; }, {"auto", "io_uring", "threads"}),
       "How the file is read and written: by io_uring, or by threads where the system forbids it; auto tries."},
      {"cache.link.bandwidth", optional_bytes_value([](Config& c) -> MemorySize& { return c.cache.link.bandwidth; }),
       "CPU backend, whose two tiers are the same memory: bytes per second at which pages may go from one to the other, each way, to see what a device's link would do. 0: as fast as copying is."},
      {"cache.link.latency_us", integer_value([](Config& c) -> I& { return c.cache.link.latency_us; }, 0, 10000000),
       "Likewise: microseconds that a move takes at least."},
      {"scheduler.max_tokens_per_step", integer_value([](Config& c) -> I& { return c.scheduler.max_tokens_per_step; }, 1, kMany),
       "Tokens computed in one step, prompt chunks and decodes together. Larger is faster for prompts and makes decodes wait longer."},
      {"scheduler.max_sequences", integer_value([](Config& c) -> I& { return c.scheduler.max_sequences; }, 1, 65536),
       "Sequences that run at a time; further ones wait."},
      {"sampling.temperature", real_value([](Config& c) -> double& { return c.sampling.temperature; }, 0, 100),
       "Default of requests that name none; 0 is greedy. (`terrace run` is greedy unless --temperature is given.)"},
      {"sampling.top_p", real_value([](Config& c) -> double& { return c.sampling.top_p; }, 0, 1, true),
       "Default of requests: sample from the most likely tokens that together have this probability."},
      {"sampling.top_k", integer_value([](Config& c) -> I& { return c.sampling.top_k; }, 0, 1 << 22),
       "Default of requests: sample from so many most likely tokens; 0 is all."},
      {"sampling.min_p", real_value([](Config& c) -> double& { return c.sampling.min_p; }, 0, 1),
       "Default of requests: drop tokens less likely than this share of the most likely one."},
      {"embeddings.pooling", choice_value([](Config& c) -> S& { return c.embeddings.pooling; }, {"auto", "mean", "last"}),
       "Default of requests: an embedding is the mean of all tokens' hidden states, or the last token's. `auto`: as the model file says, else the mean."},
  };
}

std::vector<ConfigKey> server_keys() {
  return {
      {"server.host", text_value([](Config& c) -> S& { return c.server.host; }, "an IP address"),
       "Where `terrace serve` listens. Beyond loopback (0.0.0.0) think of server.api_keys and server.certificate (docs/security.md)."},
      {"server.port", integer_value([](Config& c) -> I& { return c.server.port; }, 0, 65535),
       "0 takes any free port; the start line names it."},
      {"server.threads", integer_value([](Config& c) -> I& { return c.server.threads; }, 1, 64),
       "Threads of rank 0 for HTTP, templates and tokenizing, beside those that compute."},
      {"server.model_name", text_value([](Config& c) -> S& { return c.server.model_name; }, "a name, or none"),
       "The model's name in answers; requests may name this one only. none: the name that the model file gives."},
      {"server.max_connections", integer_value([](Config& c) -> I& { return c.server.max_connections; }, 1, kMany),
       "Connections open at a time; further ones are answered with 503, or closed (under TLS, and where many come at once)."},
      {"server.max_body", bytes_value([](Config& c) -> MemorySize& { return c.server.max_body; }),
       "The largest request body; a larger one is answered with 413."},
      {"server.max_bodies", optional_bytes_value([](Config& c) -> MemorySize& { return c.server.max_bodies; }),
       "What the bodies of all requests together may take, from their first byte to the end of the answer, but always room for one of the largest; a request that "
       "finds no room is answered with 503."},
      {"server.max_queued", integer_value([](Config& c) -> I& { return c.server.max_queued; }, 1, kMany),
       "Requests that may wait for their turn; further ones are answered with 429."},
      {"server.idle_seconds", integer_value([](Config& c) -> I& { return c.server.idle_seconds; }, 1, 86400),
       "A connection is closed when its client sends no whole request, or takes nothing of an answer, for so long."},
      {"server.drain_seconds", integer_value([](Config& c) -> I& { return c.server.drain_seconds; }, 0, 86400),
       "After SIGTERM or Ctrl-C no request is taken any more, and those accepted have so long to end; a second signal ends the server at once. Under mpirun "
       "raise OMPI_MCA_odls_base_sigkill_timeout with it (scripts/mpi_env.sh)."},
      {"server.api_keys", path_value([](Config& c) -> S& { return c.server.api_keys; }, "the path of a file, or none"),
       "Who may ask: a file of lines `NAME KEY [max_running=N] [per_minute=N]`. Requests carry a key as `Authorization: Bearer KEY`, and the queue is fair between names."},
      {"server.files", path_value([](Config& c) -> S& { return c.server.files; }, "the path of a folder, or none"),
       "Where the files of /v1/files and /v1/batches lie; batches that were not done go on when a server starts on the folder again. none: these endpoints are closed."},
      {"server.cors_origin", text_value([](Config& c) -> S& { return c.server.cors_origin; }, "an origin, * or none"),
       "Web pages of which origin may call the server from a browser; none: only its own page."},
      {"server.certificate", path_value([](Config& c) -> S& { return c.server.certificate; }, "the path of a PEM file, or none"),
       "A certificate chain: then the server speaks TLS (https)."},
      {"server.private_key", path_value([](Config& c) -> S& { return c.server.private_key; }, "the path of a PEM file, or none"),
       "The certificate's private key."},
      {"server.access_log", flag_value([](Config& c) -> bool& { return c.server.access_log; }),
       "A line of JSON on stderr for each request: what was asked and how long each part took. Never prompts, answers or keys."},
  };
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> all = model_keys();
    for (auto part : {machine_keys(), attention_keys(), serving_keys(), server_keys()}) all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return keys;
}

const ConfigKey* find_config_key(std::string_view path) {
  const auto& keys = config_keys();
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& key) { return key.path == path; });
  return found == keys.end() ? nullptr : &*found;
}

bool is_config_section(std::string_view path) {
  return std::any_of(config_keys().begin(), config_keys().end(), [&](const ConfigKey& key) {
    return key.path.size() > path.size() && key.path.starts_with(path) && key.path[path.size()] == '.';
  });
}

std::string suggest_config_key(std::string_view path) {
  std::vector<std::string_view> candidates;
  const std::string_view last_word = path.substr(path.rfind('.') + 1);
  for (const ConfigKey& key : config_keys()) {
    if (key.path.substr(key.path.rfind('.') + 1) == last_word) return fmt::format("; did you mean '{}'?", key.path);
    candidates.push_back(key.path);
    for (size_t dot = key.path.find('.'); dot != key.path.npos; dot = key.path.find('.', dot + 1)) {
      candidates.push_back(key.path.substr(0, dot));
    }
  }
  return did_you_mean(path, candidates);
}

std::string config_reference() {
  std::string page =
      "# Configuration\n\n"
      "A configuration is a YAML file; `--set key.path=value` overrides any key, and `terrace run CONFIG --explain` shows what holds and\n"
      "why. A key that is not in this table is an error, and so is a key given twice. In paths `~` and `${NAME}` are expanded; `${TERRACE_CACHE}`\n"
      "is ~/.cache/terrace where it is not set. This page is printed by `terrace --config-keys`.\n\n"
      "| key | value | default | meaning |\n|---|---|---|---|\n";
  const Config defaults;
  for (const ConfigKey& key : config_keys()) {
    const std::string shown = key.type.show(defaults);
    page += fmt::format("| `{}` | {} | {} | {} |\n", key.path, key.type.expected, shown.empty() ? "none" : "`" + shown + "`", key.doc);
  }
  return page;
}

}  // namespace terrace
