// What -fsanitize=thread calls in kernels: every load and store goes to note_access(). Host code in .cu files comes here too and passes through. No ThreadSanitizer run time is linked.
#include "tests/cudasim/checker/install.h"
#include "tests/cudasim/core.h"

namespace {

inline void note(const void* address, int bytes, bool write, const void* pc, bool any_alignment = false) {
  if (cudasim::current_lane == nullptr) return;
  cudasim::Access access{address, bytes};
  access.write = write;
  access.any_alignment = any_alignment;
  access.pc = pc;
  cudasim::note_access(access);
}

// This file is linked where kernels are instrumented, and only there.
[[maybe_unused]] const bool installed = (cudasim::install_race_checker(), true);

}  // namespace

#define CUDASIM_RETURN __builtin_return_address(0)
#define CUDASIM_ACCESS(bytes)                                                                              \
  void __tsan_read##bytes(void* address) { note(address, bytes, false, CUDASIM_RETURN); }                  \
  void __tsan_write##bytes(void* address) { note(address, bytes, true, CUDASIM_RETURN); }                  \
  void __tsan_unaligned_read##bytes(void* address) { note(address, bytes, false, CUDASIM_RETURN, true); }  \
  void __tsan_unaligned_write##bytes(void* address) { note(address, bytes, true, CUDASIM_RETURN, true); }  \
  void __tsan_read_write##bytes(void* address) {                                                           \
    note(address, bytes, false, CUDASIM_RETURN);                                                           \
    note(address, bytes, true, CUDASIM_RETURN);                                                            \
  }                                                                                                        \
  void __tsan_unaligned_read_write##bytes(void* address) {                                                 \
    note(address, bytes, false, CUDASIM_RETURN, true);                                                     \
    note(address, bytes, true, CUDASIM_RETURN, true);                                                      \
  }

extern "C" {

CUDASIM_ACCESS(1)
CUDASIM_ACCESS(2)
CUDASIM_ACCESS(4)
CUDASIM_ACCESS(8)
CUDASIM_ACCESS(16)

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

void* __tsan_memcpy(void* dst, const void* src, size_t bytes) {
  note(src, static_cast<int>(bytes), false, CUDASIM_RETURN, true);
  note(dst, static_cast<int>(bytes), true, CUDASIM_RETURN, true);
  return __builtin_memcpy(dst, src, bytes);
}
void* __tsan_memmove(void* dst, const void* src, size_t bytes) {
  note(src, static_cast<int>(bytes), false, CUDASIM_RETURN, true);
  note(dst, static_cast<int>(bytes), true, CUDASIM_RETURN, true);
  return __builtin_memmove(dst, src, bytes);
}
void* __tsan_memset(void* dst, int value, size_t bytes) {
  note(dst, static_cast<int>(bytes), true, CUDASIM_RETURN, true);
  return __builtin_memset(dst, value, bytes);
}

}  // extern "C"
