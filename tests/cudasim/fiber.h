// Stackful switches between the lanes of a block and the host thread that runs them (Boost.Context), told to AddressSanitizer. One host thread; owns no memory.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define CUDASIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDASIM_ASAN 1
#endif
#endif

namespace cudasim {

#ifdef CUDASIM_ASAN
inline constexpr bool kAsan = true;
#else
inline constexpr bool kAsan = false;
#endif

/// A suspended flow of control: a lane's, or the host thread's while lanes run.
struct Fiber {
  void* context = nullptr;     // Boost's fcontext_t
  void* fake_stack = nullptr;  // AddressSanitizer's
  const void* bottom = nullptr;
  size_t bytes = 0;
};

/// Prepares `fiber` to start in `entry` when it is first switched to. `entry` must begin with fiber_started() and must not return.
void make_fiber(Fiber& fiber, unsigned char* stack, size_t bytes, size_t skew, void (*entry)());
/// Suspends `from`, resumes `to`; returns when somebody switches to `from`. `dying`: from is never resumed.
void switch_fiber(Fiber& from, Fiber& to, bool dying = false);
/// `starter`: the fiber that made the first switch; learns where the host thread's stack lies.
void fiber_started(Fiber& host);

/// For AddressSanitizer; nothing without it.
void poison_memory(const void* begin, size_t bytes);
void unpoison_memory(const void* begin, size_t bytes);

}  // namespace cudasim
