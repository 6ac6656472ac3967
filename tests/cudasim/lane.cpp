// What a lane asks about itself.
#include "tests/cudasim/core.h"

namespace cudasim {

uint3 thread_index() { return current_lane->thread; }
uint3 block_index() { return current_lane->block; }
dim3 block_size() { return current_block->kernel->block; }
dim3 grid_size() { return current_block->kernel->grid; }
unsigned char* dynamic_shared() { return current_block->shared.dynamic_begin; }

void touch(const void* address, int bytes, bool write, bool atomic) {
  Access access{address, bytes};
  access.write = write, access.atomic = atomic;
  access.pc = __builtin_return_address(0);
  note_access(access);
}

}  // namespace cudasim
