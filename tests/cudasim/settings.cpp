#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "tests/cudasim/core.h"

namespace cudasim {
namespace {

uint64_t number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return otherwise;
  char* end = nullptr;
  const uint64_t value = std::strtoull(text, &end, 10);
  if (*end != 0) unsupported(fmt::format("{}={} is no number", name, text));
  return value;
}

template <typename Choice>
Choice choice(const char* name, Choice otherwise, std::initializer_list<std::pair<std::string_view, Choice>> choices) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return otherwise;
  std::string names;
  for (const auto& [word, value] : choices) {
    if (word == text) return value;
    names += fmt::format(" {}", word);
  }
  unsupported(fmt::format("{}={} is none of:{}", name, text, names));
}

Settings from_environment() {
  using Order = Settings::Order;
  using CpAsync = Settings::CpAsync;
  using Streams = Settings::Streams;
  Settings s;
  s.seed = number("CUDASIM_SEED", s.seed);
  s.order = choice<Order>("CUDASIM_ORDER", s.order, {{"inorder", Order::kInOrder}, {"reverse", Order::kReverse}, {"random", Order::kRandom}, {"warp", Order::kWarpFirst}});
  s.cp_async = choice<CpAsync>("CUDASIM_CPASYNC", s.cp_async, {{"late", CpAsync::kLate}, {"atonce", CpAsync::kAtOnce}, {"random", CpAsync::kRandom}});
  s.streams = choice<Streams>("CUDASIM_STREAMS", s.streams, {{"lazy", Streams::kLazy}, {"random", Streams::kRandom}, {"eager", Streams::kEager}});
  s.num_devices = static_cast<int>(number("CUDASIM_DEVICES", 8));
  s.driver = number("CUDASIM_DRIVER", 1) != 0;
  s.device_bytes = number("CUDASIM_MEMORY_MB", 1024) << 20;
  s.compute_capability = static_cast<int>(number("CUDASIM_CAPABILITY", 80));
  s.num_multiprocessors = static_cast<int>(number("CUDASIM_MULTIPROCESSORS", 4));
  s.batched_copies = number("CUDASIM_BATCHED_COPIES", 1) != 0;
  s.damage = number("CUDASIM_DAMAGE", 0);
  s.host_pointers = number("CUDASIM_HOST_POINTERS", 1) != 0;
  s.peers = number("CUDASIM_PEERS", 1) != 0;
  s.fail_call = number("CUDASIM_FAIL_CALL", 0);
  s.count_calls = number("CUDASIM_COUNT_CALLS", 0) != 0;
  s.leaks = number("CUDASIM_LEAKS", 0) != 0;
  s.statistics = number("CUDASIM_STATS", 0) != 0;
  return s;
}

}  // namespace

Settings& settings() {
  static Settings settings = from_environment();
  return settings;
}

}  // namespace cudasim
