// All of one simulated device. The runtime API's functions work on it, under its lock.
#pragma once

#include <atomic>
#include <mutex>
#include <set>
#include <unordered_map>

#include "tests/cudasim/access_history.h"
#include "tests/cudasim/heap.h"
#include "tests/cudasim/stream.h"

namespace cudasim {

class GraphExec;

class Device {
 public:
  explicit Device(int index);

  Stream* create_stream(bool blocking);
  /// For the branches of a graph; has no handle.
  Stream* create_internal_stream();
  Event* create_event();
  /// Null for what is no live handle of this device.
  Stream* find_stream(cudaStream_t handle);
  Event* find_event(cudaEvent_t handle);
  const std::vector<std::unique_ptr<Stream>>& streams() const { return streams_; }
  const std::vector<std::unique_ptr<Event>>& events() const { return events_; }
  Stream& legacy() { return *streams_.front(); }

  /// Runs everything that is queued.
  void run_all();
  /// By seed, some operations that could run now.
  void make_progress();
  /// The host has waited for these.
  void host_waited(const Clock& clock);
  const Clock& host_clock() const { return host_clock_; }
  bool all_idle() const;

  /// Its kernels may wait for those of other devices.
  bool has_peers() const { return has_imports || !peers.empty(); }

  /// The one place where an operation runs.
  void run(Stream& stream, QueuedOperation& queued);
  KernelStatistics& statistics_of(const std::string& kernel) { return statistics[kernel]; }

  const int index;
  std::recursive_mutex mutex;
  Random random;
  Heap heap;
  std::set<int> peers;         // devices of this process whose memory its kernels reach
  bool has_imports = false;    // it has had other processes' memory open
  AccessHistory history;
  Footprint footprint;                    // of the operation that runs
  cudaError_t sticky = cudaSuccess;
  std::atomic<bool> driven = false;       // by drive_idle_devices()
  std::map<std::string, KernelStatistics> statistics;
  std::unordered_map<const void*, int> allowed_shared_bytes;  // cudaFuncSetAttribute

 private:
  void guard_pinned(const Stream& stream, const QueuedOperation& queued);

  std::vector<std::unique_ptr<Stream>> streams_;  // the first is the legacy default stream
  std::vector<std::unique_ptr<Event>> events_;
  std::unordered_map<const void*, Stream*> stream_handles_;
  std::unordered_map<const void*, Event*> event_handles_;
  Clock host_clock_;
};

/// Creates it when first asked for. `index` must be below settings().num_devices.
Device& device_at(int index);
/// Null if nobody has used it yet.
Device* existing_device(int index);
int chosen_device();
void choose_device(int index);

/// A device goes on while its host does something else; here a queue stands still until its host waits for it. Where ranks are threads, whoever waits for another device hence has threads run
/// what the others have queued, up to what waits for peers. Returns at once.
void drive_idle_devices(const Device& waiting);

/// An operation runs on this thread: its code may not call the API.
bool in_operation();

}  // namespace cudasim
