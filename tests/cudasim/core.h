// The contract between the parts of the simulator: scheduler, runtime API, PTX interpreter (ptx/), checker (checker/), cuBLAS and NCCL.
// Threads: one process simulates several devices. A host thread picks its device by cudaSetDevice and every API call holds that device's lock, also while queued operations run (on
// the calling thread). Kernels in C++ share their `__shared__` variables, so they run one at a time in a process; interpreted PTX does not. What a running lane needs is thread_local.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cudasim/kernel_api.h"

namespace cudasim {

constexpr int kWarpLanes = 32;
constexpr int kMaxLanes = 1024;
constexpr size_t kStackBytes = size_t{128} << 10;  // of a lane's fiber: its local memory

// ---- kernels ---------------------------------------------------------------------------------------------------------

/// A kernel as PTX. `run` executes one lane to its end, as the current lane; `params` is laid out as the driver does it (offset = running sum, aligned).
struct PtxKernel {
  std::string name;  // mangled
  size_t static_shared_bytes = 0;
  std::function<void(const unsigned char* params)> run;
};
/// Whether kernels are to be interpreted (CUDASIM_PTX names a folder of .ptx files), and the entry, or null. Implemented by ptx/; any thread.
bool ptx_wanted();
const PtxKernel* find_ptx(const std::string& mangled_name);

/// A kernel function; lives as long as the process.
struct KernelImage {
  std::string name;     // readable, for messages
  std::string mangled;
  const void* function = nullptr;
  KernelDescription description;
  const PtxKernel* ptx = nullptr;  // set: this runs, not the C++ body
  std::vector<size_t> offsets;     // of the parameters
  size_t param_bytes = 0;
};

/// One launch.
struct Kernel {
  const KernelImage* image = nullptr;
  dim3 grid, block;
  size_t dynamic_shared_bytes = 0;
  std::vector<unsigned char> params;  // by value
};

// ---- lanes and blocks --------------------------------------------------------------------------------------------------

enum class LaneState : uint8_t { kReady, kInCollective, kAtBarrier, kDone };

struct AsyncCopy {
  void* shared;
  const void* global;
  int bytes, valid_bytes, group;
};

/// What a lane said when it came to a collective, and what it gets.
struct CollectiveCall {
  WarpOp op;
  unsigned mask;
  int in_bytes, immediate, width;
  alignas(16) unsigned char in[48];
  alignas(16) unsigned char out[16];
};

/// A CUDA thread. Valid while its block runs.
struct Lane {
  uint3 thread, block;   // coordinates
  int id;                // in the block: x fastest
  int warp, index;       // id / 32, id % 32
  LaneState state;
  CallSite site;         // of the barrier or collective where it waits (or waited last)
  int barrier_id;
  CollectiveCall call;
  // Clock of what this lane has done since its block began: counts its barriers and __syncwarps. seen[i]: the clock of lane i of this warp that a __syncwarp has ordered before this lane.
  uint32_t clock;
  uint32_t seen[kWarpLanes];
  const void* loaded_from;        // its last load of system scope, and what that gave
  uint64_t loaded, spins;         // spins: how often the same came again
  std::chrono::nanoseconds spinning_since;
  std::vector<AsyncCopy> copies;  // not landed
  int groups;                     // cp.async groups committed
  unsigned char* stack;           // [kStackBytes]: .local memory and C++ locals
  void* context;                  // the fiber (scheduler.cpp)
  void* fake_stack;               // AddressSanitizer's
};

/// Shared memory of the running block. C++: the section of all __shared__ variables and, elsewhere, the dynamic part. PTX: one window, static part first; its
/// 32-bit shared addresses are offsets from static_begin. Bytes are 0xFF at the start of each block.
struct SharedMemory {
  unsigned char *static_begin = nullptr, *static_end = nullptr;
  unsigned char *dynamic_begin = nullptr, *dynamic_end = nullptr;
  bool contains(const void* address, size_t bytes) const {
    const auto* p = static_cast<const unsigned char*>(address);
    return (p >= static_begin && p + bytes <= static_end) || (p >= dynamic_begin && p + bytes <= dynamic_end);
  }
};

class Device;

/// The block that runs on this host thread. Blocks of a launch run one after another, in seeded order.
struct Block {
  Device* device = nullptr;
  const Kernel* kernel = nullptr;
  uint64_t launch_id = 0;   // unique in the process; accesses of two launches are ordered by streams, not by the checker
  uint64_t block_id = 0;    // unique in the process: the generation of what lies in shared memory
  uint32_t linear = 0;      // x fastest
  uint32_t epoch = 0;       // barriers of the whole block so far: what was done in an earlier epoch is ordered before now
  std::vector<Lane>* lanes = nullptr;
  int num_lanes = 0;
  SharedMemory shared;
};

// Null in host code. initial-exec: one instruction, also in a module that was opened by dlopen.
extern thread_local constinit Lane* current_lane __attribute__((tls_model("initial-exec")));
extern thread_local constinit Block* current_block __attribute__((tls_model("initial-exec")));

// ---- device memory --------------------------------------------------------------------------------------------------------

enum class MemoryKind : uint8_t { kUnknown, kDevice, kFreed, kPinned, kPastEnd };

struct AllocationInfo {
  MemoryKind kind = MemoryKind::kUnknown;
  int device = -1;
  const unsigned char* begin = nullptr;
  size_t bytes = 0;
  uint64_t number = 0;  // the how-many-eth allocation of its device
  bool imported = false;  // another process's, by cudaIpcOpenMemHandle
};
/// What lies at [address, address + bytes): kPastEnd if it begins in an allocation (or its guard) and leaves it. Any thread; takes no device's lock.
AllocationInfo find_allocation(const void* address, size_t bytes);
/// "the device allocation 12 of 4096 bytes, offset 4100": for messages.
std::string describe_address(const void* address);
size_t free_device_bytes(const Device& device);

// ---- the checker --------------------------------------------------------------------------------------------------------------

struct Access {
  const void* address;
  int bytes;
  bool write = false, atomic = false;
  bool async = false;                // a cp.async: its issue (both sides), and its landing as a write
  bool any_alignment = false;        // joined by the host's compiler from smaller accesses
  const void* pc = nullptr;          // C++ path: a return address in the kernel
  const char* instruction = nullptr; // PTX path: its text
};

enum class RangeEvent : uint8_t { kAllocated, kFreed, kWritten };

/// What a checker is told. Calls come from the thread that runs the operation; under PTX several devices' calls may come at once, so state is per device or per block.
class Checker {
 public:
  virtual ~Checker() = default;
  virtual void on_block_begin(Block&) {}
  virtual void on_block_end(Block&) {}
  /// Of current_lane. Bounds, alignment, initialisation, races inside a launch. (Order between operations: the core, from the same accesses.)
  virtual void on_access(const Access&) {}
  /// A cp.async destination is under way (true) or has landed.
  virtual void on_async_copy(const void* shared, int bytes, bool pending) { (void)shared, (void)bytes, (void)pending; }
  /// These lanes of current_block met: a barrier of fewer than all lanes, or __syncwarp (which has already joined Lane::seen).
  virtual void on_sync(Lane* const* lanes, int count) { (void)lanes, (void)count; }
  /// Device memory changed by something that is no kernel: cudaMalloc (undefined), cudaFree, a copy, memset or library call (defined).
  virtual void on_host_range(Device&, const void* address, size_t bytes, RangeEvent) { (void)address, (void)bytes; }
};
/// Null takes it away. Installed before the first kernel.
void install_checker(Checker* checker);
Checker* checker();

/// The one entry for memory accesses of lanes (__tsan_*, the interpreter, emulated instructions): notes what the running operation touches, then tells the checker. No lane: nothing.
void note_access(const Access& access);

// ---- findings -------------------------------------------------------------------------------------------------------------------

/// Prints "cudasim: ERROR ..." (naming block and thread if a lane runs), counts it and makes the current device fail for ever (cudaErrorLaunchFailure).
/// A process with findings that nobody took exits with 86.
void report(const std::string& sentence);
/// The sentences so far, of all devices.
size_t num_findings();
/// For tests of the simulator: the sentences so far; forgets them and heals the devices.
std::vector<std::string> take_findings();
/// Prints and ends the process (exit code 87): what cannot be simulated.
[[noreturn]] void unsupported(const std::string& sentence);

// ---- streams, for library calls (cuBLAS, NCCL) ----------------------------------------------------------------------------------

struct MemoryRange {
  const void* begin = nullptr;
  size_t bytes = 0;
};

enum class OperationKind : uint8_t { kLibrary, kKernel, kCopy, kFill, kHostFunction, kMarker };

/// Something that a stream does. Runs when its stream comes to it: at a synchronisation, or earlier, by seed. Copied into graphs by capture.
struct Operation {
  std::string name;                         // "copy of 4096 bytes to the device", "ncclAllReduce of 1024 floats"
  std::function<void()> run;                // device memory is open; may be null (markers)
  std::vector<MemoryRange> reads, writes;   // device or pinned memory; a kernel's are noted as it runs
  bool waits_for_peers = false;             // run() blocks until other ranks come: never run but when somebody waits for it
  OperationKind kind = OperationKind::kLibrary;
  const void* kernel = nullptr;             // a launch's function: graph updates may not change it
  const void* communicator = nullptr;       // whose collective it is: NCCL waits until no live graph holds one
};
/// Queues (or captures) it. Findings: legacy default stream, unknown stream, a range that is no live allocation.
cudaError_t enqueue(cudaStream_t stream, Operation operation);

/// The first line of every API function: counts the call, injects the failure asked for by CUDASIM_FAIL_CALL (then returns true: fail plausibly).
bool call_fails(const char* function);
uint64_t num_api_calls();

// ---- the rest ------------------------------------------------------------------------------------------------------------------------

/// CUDASIM_* of the environment, read once; tests of the simulator may change them between operations.
struct Settings {
  uint64_t seed = 1;
  enum class Order : uint8_t { kInOrder, kReverse, kRandom, kWarpFirst } order = Order::kRandom;     // of lanes; blocks: in order, reverse, random, random
  enum class CpAsync : uint8_t { kLate, kAtOnce, kRandom } cp_async = CpAsync::kLate;
  enum class Streams : uint8_t { kLazy, kRandom, kEager } streams = Streams::kRandom;
  int num_devices = 8;
  bool driver = true;
  size_t device_bytes = size_t{1} << 30;
  int compute_capability = 80;   // 10 major + minor
  int num_multiprocessors = 4;   // few: grids of so many blocks a multiprocessor stay small
  bool batched_copies = true;    // cudaMemcpyBatchAsync works
  uint64_t damage = 0;           // every so many of its calls bring the device a copy with one bit flipped; 0: none
  bool host_pointers = true;     // kernels reach registered memory at the host's addresses
  bool peers = true;             // devices reach each other's memory
  uint64_t fail_call = 0;
  bool count_calls = false, leaks = false, statistics = false;
};
Settings& settings();

/// xorshift; one a device, from the seed, so that a run repeats.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 1) {}
  uint32_t next() {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return static_cast<uint32_t>(state_ >> 16);
  }
  uint32_t below(uint32_t bound) { return next() % bound; }

 private:
  uint64_t state_;
};

/// The device that this host thread has chosen, and its random numbers (for orders of summation, of ranks ...).
Device& current_device();
int device_index(const Device& device);
Random& device_random(Device& device);

/// Per kernel name, kept by each device.
struct KernelStatistics {
  uint64_t launches = 0, blocks = 0, switches = 0, collectives = 0, ldmatrix_phases = 0, ldmatrix_conflicts = 0;
};
KernelStatistics kernel_statistics(const std::string& name_part);  // summed over devices and over kernels whose readable name contains it

}  // namespace cudasim
