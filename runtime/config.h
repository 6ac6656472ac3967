// The whole configuration of a run, with its defaults. Filled by launcher/config_file from YAML and --set; plain data.
// A key that is not here is unknown to the config file: nothing is accepted and ignored.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/base/dtype.h"
#include "kernels/kv_format.h"

namespace terrace {

/// "2GiB", "512MiB", or "60%" of what is left for this rank after weights and workspace.
struct MemorySize {
  int64_t bytes = 0;   // used when percent == 0
  double percent = 0;  // (0, 100]
};

/// Shape of a model of random weights (model.load: dummy). Names as in Hugging Face's config.json, shortened.
struct GeometryConfig {
  int32_t layers = 2;
  int32_t hidden_size = 64;
  int32_t heads = 4;
  int32_t kv_heads = 4;
  int32_t head_dim = 0;  // 0: hidden_size / heads
  int32_t ffn_size = 128;
  int32_t vocab_size = 512;
  int32_t context_length = 4096;
  double rope_base = 10000;
  DType format = DType::kQ4_0;  // of the linear layers
};

struct ModelSection {
  std::string path;         // a GGUF; relative to the config file
  std::string load = "file";  // file | dummy
  GeometryConfig geometry;  // of load: dummy
};

struct ParallelSection {
  int32_t ranks = 1;    // ranks as threads; under mpirun -n decides
  int32_t threads = 0;  // per rank; 0 = auto: max(1, cores of this host / its ranks)
};

struct CommSection {
  int32_t pretend_hosts = 0;  // > 1: test the cross-host path on one host
};

/// Tokens that are generated read some pages only (kernels/sparse_reading.h).
struct SparseSection {
  std::string mode = "off";  // off | top | bounded
  int32_t pages = 64;        // of the largest bounds
  double epsilon = 0.01;     // of mode bounded
  int32_t first_layers = 2;  // which read all
  int32_t sink_pages = 1;    // first pages, read always
  int32_t recent_pages = 4;  // last pages, likewise
  int32_t prompts_from = 0;  // > 0: tokens of prompts too, from this position on
};

/// Sequences without end on a model that sees everything (StreamingLLM): each token sees so many before it, and the first ones.
struct AttentionSection {
  int32_t window = 0;  // positions, a token's own included; 0: as the model has it
  int32_t sinks = 4;
  SparseSection sparse = {};
};

struct DiskSection {
  std::string path = "none";  // one file a rank: PATH.rank0, PATH.rank1, ...; none: no disk tier
  MemorySize size;
  std::string io = "auto";  // auto | io_uring | threads
};

/// A link between the device's pages and the host's, made slow on purpose where both are the same memory (the CPU backend). 0: as fast as copying is.
struct LinkSection {
  MemorySize bandwidth;     // bytes per second each way
  int32_t latency_us = 0;
};

struct CacheSection {
  bool enabled = true;      // false: the teaching baseline, every step recomputes the whole sequence
  int32_t page_tokens = 16;
  KvFormat format;          // of keys and values in pages
  MemorySize device = {0, 60.0};   // KV pages of this rank
  MemorySize host;                 // of the host tier; 0: none
  std::string host_format = "same";  // of its pages, and the disk's: same | Q8
  bool prefixes = true;            // full pages are kept for sequences that begin alike
  bool in_place = false;           // rows read pages of the host tier where they lie
  std::string fetch = "auto";      // pages of colder tiers: auto (fetched where that is faster than computing them) | always | never
  std::string policy = "lru";    // which page a full tier gives up: lru | reuse
  DiskSection disk;
  LinkSection link;
};

struct SchedulerSection {
  int32_t max_tokens_per_step = 512;  // prompt chunks and decodes of one step together
  int32_t max_sequences = 32;         // running at a time
};

struct SamplingSection {  // defaults of requests that do not say
  double temperature = 1.0;
  double top_p = 1.0;
  int32_t top_k = 0;
  double min_p = 0.0;
};

struct EmbeddingsSection {  // likewise
  std::string pooling = "auto";  // auto | mean | last
};

/// `terrace serve`. Plain HTTP on loopback unless told otherwise.
struct ServerSection {
  std::string host = "127.0.0.1";
  int32_t port = 8000;             // 0: any free one
  int32_t threads = 1;             // for HTTP, tokenizing and templates, beside the step thread
  std::string model_name = "none";  // in answers; none: the model's own
  int32_t max_connections = 2048;
  MemorySize max_body = {16 << 20, 0};
  MemorySize max_bodies = {256 << 20, 0};  // of all requests together
  int32_t max_queued = 1024;       // requests
  int32_t idle_seconds = 60;       // without a byte from, or taken by, the client
  int32_t drain_seconds = 30;      // after SIGTERM
  std::string api_keys = "none";   // a file
  std::string files = "none";      // a folder, for /v1/files and /v1/batches
  std::string cors_origin = "none";
  std::string certificate = "none";  // PEM files
  std::string private_key = "none";
  bool access_log = true;
};

struct Config {
  ModelSection model;
  std::string backend = "auto";          // auto | cpu | cuda
  ParallelSection parallel;
  CommSection comm;
  std::string numerics = "auto";         // auto (invariant on the CPU, fast on CUDA) | invariant (bit-equal whatever the batch) | fast
  bool graphs = true;                    // CUDA: decode steps replay a recorded graph
  AttentionSection attention;
  CacheSection cache;
  SchedulerSection scheduler;
  SamplingSection sampling;
  EmbeddingsSection embeddings;
  ServerSection server;
  std::string trace = "none";            // a file for the run's time-line
};

}  // namespace terrace
