#include "tests/support/comm/rank_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/base/error.h"

namespace terrace {
namespace {

void expect(bool holds, const char* what, int round) {
  if (!holds) throw Error(ErrorCode::kInternal, fmt::format("check failed: {} (round {})", what, round));
}

/// A cheap reproducible generator (SplitMix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

Bytes random_bytes(size_t size, uint64_t seed) {
  Random random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
  return bytes;
}

/// The part that `rank` brings to sum `round`: magnitudes far apart, so that another order gives other bits.
std::vector<float> random_part(size_t count, int rank, int round) {
  Random random(static_cast<uint64_t>(rank * 1000 + round));
  std::vector<float> values(count);
  for (float& value : values) {
    const uint64_t bits = random.next();
    value = std::ldexp(static_cast<float>(static_cast<int32_t>(bits)), static_cast<int>((bits >> 32) % 24) - 40);
  }
  return values;
}

std::vector<float> sum_in_rank_order(size_t count, int size, int round) {
  std::vector<float> sum = random_part(count, 0, round);
  for (int rank = 1; rank < size; ++rank) {
    const std::vector<float> part = random_part(count, rank, round);
    for (size_t i = 0; i < count; ++i) sum[i] += part[i];
  }
  return sum;
}

}  // namespace

void check_messages(RankGroup& group) {
  Random random(7);  // the same sizes on every rank
  for (int round = 0; round < 40; ++round) {
    const size_t bytes = round % 10 == 9 ? random.next() % 4'000'000 : random.next() % 5'000 * static_cast<size_t>(round % 4);
    const auto answer_of = [&](int rank) { return random_bytes(bytes / 4 + static_cast<size_t>(rank), static_cast<uint64_t>(round + 100 * rank)); };
    Bytes message = group.rank == 0 ? random_bytes(bytes, static_cast<uint64_t>(round)) : random_bytes(11, 1);
    group.control->broadcast(message);
    expect(message == random_bytes(bytes, static_cast<uint64_t>(round)), "broadcast bytes", round);
    const std::vector<Bytes> answers = group.control->gather(answer_of(group.rank));
    expect(answers.size() == (group.rank == 0 ? static_cast<size_t>(group.size) : 0), "number of gathered messages", round);
    for (size_t rank = 0; rank < answers.size(); ++rank) expect(answers[rank] == answer_of(static_cast<int>(rank)), "gathered bytes", round);
    if (round % 8 == 0) group.control->barrier();
  }
}

void check_sums(RankGroup& group) {
  int round = 0;
  for (const size_t count : {size_t{1}, size_t{576}, size_t{4096}, size_t{4097}, size_t{0}, size_t{576}, size_t{100'003}, size_t{9}, size_t{1'100'001},
                             size_t{31}, size_t{31}, size_t{50'000}}) {
    const std::vector<float> part = random_part(count, group.rank, round);
    const std::vector<float> expected = sum_in_rank_order(count, group.size, round);
    const auto is_expected = [&](std::span<const float> sum) {
      return sum.size() == count && (count == 0 || std::memcmp(expected.data(), sum.data(), count * sizeof(float)) == 0);
    };
    std::vector<float> anywhere = part;
    expect(is_expected(group.collective->all_reduce(anywhere)), "sum of floats anywhere", round);
    const std::span<float> buffer = group.collective->buffer(count);
    std::copy(part.begin(), part.end(), buffer.begin());
    expect(is_expected(group.collective->all_reduce(buffer)), "sum of floats in buffer()", round);
    ++round;
  }
}

void check_sums_in_a_row(RankGroup& group, int rounds) {
  std::vector<float> values(64);
  for (int round = 0; round < rounds; ++round) {
    for (float& value : values) value = static_cast<float>(round % 1000 + group.rank);
    const auto expected = static_cast<float>(round % 1000 * group.size + group.size * (group.size - 1) / 2);
    for (const float value : group.collective->all_reduce(values)) expect(value == expected, "sum of whole numbers", round);
  }
}

void wait_for_others(RankGroup& group, WaitKind kind) {
  Bytes message(10);
  std::vector<float> small(10), large(100'000);
  for (;;) {
    switch (kind) {
      case WaitKind::kBroadcast:
        group.control->broadcast(message);
        group.control->gather(message);
        break;
      case WaitKind::kShortSum: group.collective->all_reduce(small); break;
      case WaitKind::kLongSum: group.collective->all_reduce(large); break;
      case WaitKind::kBarrier: group.control->barrier(); break;
    }
  }
}

}  // namespace terrace
