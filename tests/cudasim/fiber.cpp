#include "tests/cudasim/fiber.h"

#include <boost/context/detail/fcontext.hpp>

#ifdef CUDASIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cudasim {
namespace {

using boost::context::detail::fcontext_t;
using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

thread_local void (*starting_entry)() = nullptr;

// The data of each jump is the fiber that jumped away: its context is known only on the other side.
void save_origin(transfer_t transfer) {
  static_cast<Fiber*>(transfer.data)->context = transfer.fctx;
}

void enter(transfer_t transfer) {
  save_origin(transfer);
  starting_entry();
}

}  // namespace

void make_fiber(Fiber& fiber, unsigned char* stack, size_t bytes, size_t skew, void (*entry)()) {
  starting_entry = entry;  // the same for all fibers of a host thread
  fiber = {};
  fiber.bottom = stack;
  fiber.bytes = bytes;
  fiber.context = make_fcontext(stack + bytes - skew, bytes - skew, enter);
}

void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool dying) {
#ifdef CUDASIM_ASAN
  if (dying) __asan_handle_no_return();  // its frames never return: what they poisoned must not meet the stack's next lane
  __sanitizer_start_switch_fiber(dying ? nullptr : &from.fake_stack, to.bottom, to.bytes);
#endif
  save_origin(jump_fcontext(static_cast<fcontext_t>(to.context), &from));
#ifdef CUDASIM_ASAN
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void fiber_started([[maybe_unused]] Fiber& host) {
#ifdef CUDASIM_ASAN
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (host.bottom == nullptr) host.bottom = bottom, host.bytes = bytes;  // only the very first switch comes from the host
#endif
}

#ifdef CUDASIM_ASAN
void poison_memory(const void* begin, size_t bytes) { ASAN_POISON_MEMORY_REGION(begin, bytes); }
void unpoison_memory(const void* begin, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(begin, bytes); }
#else
void poison_memory(const void*, size_t) {}
void unpoison_memory(const void*, size_t) {}
#endif

}  // namespace cudasim
