// XXH3's long form (xxHash, doc/xxhash_spec.md): eight sums of 64 bits; a block of 1,024 bytes adds 16 stripes of 64 bytes to them, each under its own words of the secret, and then
// scrambles them. What a block adds does not depend on the sums: so all threads read blocks at once, and only the scrambles, a few instructions for 1,024 bytes, follow one another.
#include "kernels/cuda/page_sum_kernels.h"

#include <algorithm>
#include <iterator>

#include "kernels/cuda/launch.cuh"

namespace terrace {

constexpr int kSumThreads = 512;  // two loads of each under way: 16 KiB
constexpr int kBlockThreads = 4;  // share a block, 16 bytes of each stripe
constexpr int kBlocksAtOnce = kSumThreads / kBlockThreads;
constexpr int kStripes = 16;  // of a block
constexpr int kSums = 8;
constexpr int kBlockBytes = kStripes * kSums * 8;
constexpr int kPagesPerLaunch = 16;
constexpr int kSecretWords = 24;

constexpr uint64_t kPrime32 = 0x9E3779B1u, kPrime64 = 0x9E3779B185EBCA87u;
constexpr uint64_t kFirstSums[kSums] = {0xC2B2AE3Du, kPrime64, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u, 0x85EBCA77C2B2AE63u, 0x85EBCA77u, 0x27D4EB2F165667C5u, kPrime32};

/// xxHash's default secret.
constexpr uint64_t kSecret[kSecretWords] = {
    0xbe4ba423396cfeb8u, 0x1cad21f72c81017cu, 0xdb979083e96dd4deu, 0x1f67b3b7a4a44072u, 0x78e5c0cc4ee679cbu, 0x2172ffcc7dd05a82u, 0x8e2443f7744608b8u, 0x4c263a81e69035e0u,
    0xcb00c391bb52283cu, 0xa32e531b8b65d088u, 0x4ef90da297486471u, 0xd8acdea946ef1938u, 0x3f349ce33f76faa8u, 0x1d4f0bc7c7bbdcf9u, 0x3159b4cd4be0518au, 0x647378d9c97e9fc8u,
    0xc3ebd33483acc5eau, 0xeb6313faffa081c5u, 0x49daf0b751dd0d17u, 0x9e68d429265516d3u, 0xfca1477d58be162bu, 0xce31d07ad1b8f88fu, 0x280416958f3acb45u, 0x7e404bbbcafbd7afu};

struct PageSumParams {
  PageSum pages[kPagesPerLaunch];
  uint64_t secret[kSecretWords], first_sums[kSums];
  int32_t num_blocks;  // of a page
};

/// Eight bytes of the secret from byte 8 * word + kByte on.
template <int kByte>
__device__ __forceinline__ uint64_t secret_at(const uint64_t* secret, int word) {
  return secret[word] >> (8 * kByte) | secret[word + 1] << (64 - 8 * kByte);
}

__device__ __forceinline__ uint64_t multiply_halves(uint64_t x) { return static_cast<uint64_t>(static_cast<uint32_t>(x)) * (x >> 32); }

/// What a block adds to sums 2 * quarter and the next.
__device__ __forceinline__ void add_block(const std::byte* block, bool is_last, const uint64_t* secret, int quarter, uint64_t (&sums)[2]) {
  const ulonglong2* words = reinterpret_cast<const ulonglong2*>(block) + quarter;
  sums[0] = sums[1] = 0;
#pragma unroll
  for (int stripe = 0; stripe < kStripes; ++stripe) {
    const ulonglong2 data = words[stripe * kBlockThreads];
    uint64_t keys[2] = {secret[stripe + 2 * quarter], secret[stripe + 2 * quarter + 1]};
    if (stripe == kStripes - 1 && is_last) {  // the page's last stripe
      keys[0] = secret_at<1>(secret, 15 + 2 * quarter);
      keys[1] = secret_at<1>(secret, 16 + 2 * quarter);
    }
    sums[0] += multiply_halves(data.x ^ keys[0]) + data.y;
    sums[1] += multiply_halves(data.y ^ keys[1]) + data.x;
  }
}

__device__ __forceinline__ uint64_t scramble(uint64_t sum, uint64_t key) { return (sum ^ sum >> 47 ^ key) * kPrime32; }

/// The sums, each already under its word of the secret, as one.
__device__ __forceinline__ uint64_t merge(const uint64_t* keyed, uint64_t page_bytes) {
  uint64_t result = page_bytes * kPrime64;
#pragma unroll
  for (int i = 0; i < kSums; i += 2) result += keyed[i] * keyed[i + 1] ^ __umul64hi(keyed[i], keyed[i + 1]);
  result = (result ^ result >> 37) * 0x165667919E3779F9u;
  return result ^ result >> 32;
}

/// A block of threads for each page.
__global__ void __launch_bounds__(kSumThreads) page_sum_kernel(const PageSumParams params) {
  __shared__ uint64_t secret[kSecretWords];
  __shared__ uint64_t added[2][kBlocksAtOnce][kSums];  // of the blocks that are read, and of those that are being scrambled
  const int thread = static_cast<int>(threadIdx.x);
  const PageSum& task = params.pages[blockIdx.x];
  const std::byte* page = task.page;
  if (thread < kSecretWords) secret[thread] = params.secret[thread];
  __syncthreads();
  uint64_t sum = thread < kSums ? params.first_sums[thread] : 0;
  for (int first = 0, turn = 0; first < params.num_blocks; first += kBlocksAtOnce, turn ^= 1) {
    const int block = first + thread / kBlockThreads, quarter = thread % kBlockThreads;
    if (block < params.num_blocks) {
      uint64_t sums[2];
      add_block(page + static_cast<int64_t>(block) * kBlockBytes, block == params.num_blocks - 1, secret, quarter, sums);
      uint64_t* to = added[turn][thread / kBlockThreads] + 2 * quarter;
      to[0] = sums[0];
      to[1] = sums[1];
    }
    __syncthreads();
    if (thread >= kSums) continue;
    for (int i = 0; i < kBlocksAtOnce && first + i < params.num_blocks; ++i) {
      sum += added[turn][i][thread];
      if (first + i < params.num_blocks - 1) sum = scramble(sum, secret[kStripes + thread]);
    }
  }
  if (thread < kSums) added[0][0][thread] = sum ^ secret_at<3>(secret, 1 + thread);
  __syncthreads();
  if (thread == 0) *task.sum = merge(added[0][0], static_cast<uint64_t>(params.num_blocks) * kBlockBytes);
}

void launch_page_sums(std::span<const PageSum> pages, size_t page_bytes, cudaStream_t stream) {
  PageSumParams params = {};
  std::copy(std::begin(kSecret), std::end(kSecret), params.secret);
  std::copy(std::begin(kFirstSums), std::end(kFirstSums), params.first_sums);
  params.num_blocks = static_cast<int32_t>(page_bytes / kBlockBytes);
  while (!pages.empty()) {
    const std::span<const PageSum> some = pages.first(std::min<size_t>(pages.size(), kPagesPerLaunch));
    std::copy(some.begin(), some.end(), params.pages);
    launch("summing pages", {dim3(static_cast<unsigned>(some.size())), dim3(kSumThreads), 0, stream}, page_sum_kernel, params);
    pages = pages.subspan(some.size());
  }
}

}  // namespace terrace
