// What the machine itself can do at most, measured: figures beside which a benchmark's own are put. Plain data.
#pragma once

#include <cstddef>
#include <string>

namespace terrace {

/// Of all the threads of one backend together.
struct MachineLimits {
  size_t memory_bytes = 0;        // the set of memory_rate: larger than the last-level cache
  size_t set_bytes = 0;           // the set of set_rate: as asked for, memory_bytes at most
  double memory_rate = 0;         // bytes/s read, each thread its own slice from end to end; of a device: read and written by a copy
  double set_rate = 0;            // the same over set_bytes; faster where a part of them stays in cache
  double int8_multiply_adds = 0;  // 1/s, of what linear layers multiply: linear_type
  double fp32_multiply_adds = 0;  // 1/s, of what attention multiplies: attention_type
  std::string linear_type = "int8";
  std::string attention_type = "fp32";
  std::string instructions;       // that those two rates are of: "vpmaddubsw and vfmadd231ps, 256 bits"; "": a backend without such probes
};

}  // namespace terrace
