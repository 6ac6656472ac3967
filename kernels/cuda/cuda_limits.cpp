#include "kernels/cuda/cuda_limits.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <random>
#include <span>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cublas_matmul.h"
#include "kernels/cuda/cuda_device.h"

namespace terrace {
namespace {

constexpr int kRounds = 8;
constexpr double kLongEnough = 2e-3;                     // seconds of a round: the clock and the launch no longer count
constexpr size_t kSmallestCopy = size_t{8} << 20;
constexpr size_t kLargestCopy = size_t{1} << 30;         // far above any L2
constexpr int64_t kSmallestProduct = 128;
constexpr int64_t kLargestProduct = 8192;

/// The fastest of some rounds.
double seconds_of(CudaDevice& device, const std::function<void()>& queue) {
  double best = 1e9;
  queue();  // the first one loads what it needs
  for (int round = 0; round < kRounds; ++round) {
    device.synchronize();
    const auto start = std::chrono::steady_clock::now();
    queue();
    device.synchronize();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (best > 100 * kLongEnough) break;
  }
  return best;
}

double copy_rate(CudaDevice& device, const Buffer& memory, size_t bytes) {
  const size_t half = std::max<size_t>(4, bytes / 2);
  const double seconds = seconds_of(device, [&] {
    check_cuda(cudaMemcpyAsync(memory.data() + half, memory.data(), half, cudaMemcpyDeviceToDevice, device.stream()), "a copy inside the device's memory");
  });
  return 2 * static_cast<double>(half) / seconds;
}

void measure_memory(CudaDevice& device, size_t set_bytes, MachineLimits& limits) {
  const size_t largest = std::min(kLargestCopy, device.free_memory() / 4);
  if (largest == 0) return;
  for (size_t bytes = std::min(kSmallestCopy, largest); bytes <= largest; bytes *= 2) {
    const Buffer memory = device.allocate(bytes + 8);
    limits.memory_bytes = bytes;
    limits.memory_rate = copy_rate(device, memory, bytes);
    limits.set_bytes = std::min(std::max<size_t>(set_bytes, 8), bytes);
    limits.set_rate = copy_rate(device, memory, limits.set_bytes);
    if (static_cast<double>(bytes) / limits.memory_rate > kLongEnough) return;
  }
}

/// Numbers of (-1, -0.5] and [0.5, 1) whose bits look random: with zeros the device draws less power and clocks higher than it ever will in use.
Buffer make_operand(CudaDevice& device, size_t elements) {
  constexpr size_t kPiece = size_t{1} << 20;  // elements; repeated, which no cache profits from
  std::minstd_rand random(1);
  std::vector<uint16_t> piece(std::min(elements, kPiece));
  for (uint16_t& value : piece) value = static_cast<uint16_t>((random() >> 8 & 0x83FF) | 0x3800);  // sign, fraction; an exponent of -1
  Buffer operand = device.allocate(elements * sizeof(uint16_t));
  for (size_t i = 0; i < elements; i += piece.size()) {
    device.write(operand.data() + i * sizeof(uint16_t), std::as_bytes(std::span(piece).first(std::min(piece.size(), elements - i))));
  }
  return operand;
}

double product_rate(CudaDevice& device) {
  CublasMatmul library(device);
  const Buffer alpha = device.allocate(sizeof(float));
  constexpr float kOne = 1;  // not zero: then a library may leave the product out
  device.write(alpha.data(), std::as_bytes(std::span(&kOne, 1)));
  double best = 0;
  for (int64_t size = kSmallestProduct; size <= kLargestProduct; size *= 2) {
    const auto elements = static_cast<size_t>(size * size);
    if (elements * 8 > device.free_memory() / 4) break;
    const Buffer x = make_operand(device, elements), weight = make_operand(device, elements), out = device.allocate(elements * 4);
    HalfProduct product = {.x = reinterpret_cast<const uint16_t*>(x.data()), .weight = reinterpret_cast<const uint16_t*>(weight.data()),
                           .rows = size, .outputs = size, .cols = size, .alpha = reinterpret_cast<const float*>(alpha.data()), .bias = nullptr,
                           .out = reinterpret_cast<float*>(out.data()), .out_stride = size};
    const double seconds = seconds_of(device, [&] { library.run(product); });
    best = std::max(best, static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size) / seconds);
    if (seconds > kLongEnough) break;
  }
  return best;
}

}  // namespace

MachineLimits measure_device_limits(CudaDevice& device, size_t set_bytes) {
  MachineLimits limits;
  measure_memory(device, set_bytes, limits);
  limits.int8_multiply_adds = limits.fp32_multiply_adds = product_rate(device);  // attention's products run on the tensor cores too
  limits.linear_type = limits.attention_type = "f16";
  limits.instructions = "copies and cuBLASLt";
  return limits;
}

}  // namespace terrace
