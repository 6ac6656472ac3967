// What `terrace bench` measures: the lists that the command line gives, and the jobs that they stand for. Plain data; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace terrace {

struct BatchShape {
  int32_t prompt = 128;     // tokens of each sequence
  int32_t generated = 128;  // by each sequence
};

struct BenchCases {
  std::vector<int32_t> prompts = {512, 2048};  // tokens
  int32_t decode = 128;                        // tokens generated at each depth
  std::vector<int32_t> depths = {0, 2048};     // tokens before them
  std::vector<int32_t> batches = {1, 8, 32};   // sequences at a time
  BatchShape batch_shape;
};

/// "512,2048", or "none" for an empty list. Error(kInvalidValue) that names `option` for anything else or a number below `smallest`.
std::vector<int32_t> parse_lengths(std::string_view text, std::string_view option, int32_t smallest);
/// "128+128": prompt and generated tokens.
BatchShape parse_batch_shape(std::string_view text);

enum class BenchKind { kPrefill, kDecode, kBatch };

/// One job for the engine: sequences that are submitted together.
struct BenchJob {
  BenchKind kind = BenchKind::kPrefill;
  int32_t sequences = 1;
  int32_t prompt = 1;     // tokens of each
  int32_t generated = 1;  // of each; the first one comes with the prompt
  int32_t depth = 0;      // of kDecode, as asked for: depth 0 has a prompt of one token
};

std::vector<BenchJob> bench_jobs(const BenchCases& cases);
/// "prefill 512", "decode 128 at 2048", "batch 32 of 128+128".
std::string job_name(const BenchJob& job);

/// How a model is spread over the cores of this host.
struct BenchSetup {
  int32_t ranks = 1;    // as threads of one process
  int32_t threads = 0;  // of each rank; 0: the cores shared out
};

/// Every number of ranks with every number of threads; an empty list leaves what `configured` says.
std::vector<BenchSetup> bench_setups(const std::vector<int32_t>& ranks, const std::vector<int32_t>& threads, const BenchSetup& configured);
/// "2 ranks x 1 thread".
std::string setup_name(const BenchSetup& setup);
/// "" where the host has a core for every thread (ranks of one thread may take turns); else why it is left out.
std::string why_skipped(const BenchSetup& setup, int cores);

/// What an engine can take.
struct BenchRoom {
  int32_t context_length = 0;
  int32_t max_sequences = 0;
  int32_t num_frames = 0;  // for each layer group
  int32_t page_tokens = 1;
};

/// "" where the job fits; else why it is left out, in a sentence with the way out.
std::string why_skipped(const BenchJob& job, const BenchRoom& room);

}  // namespace terrace
