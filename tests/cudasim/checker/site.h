// Places in a kernel's code, as 32 bits of an address: a return address (C++) or the text of a PTX instruction. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "tests/cudasim/core.h"

namespace cudasim {

/// Where an access stands; 0 if it does not say.
inline uint32_t site_bits(const Access& access) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(access.instruction != nullptr ? static_cast<const void*>(access.instruction) : access.pc));
}

/// "attention_kernels.cu:120 in merge_kernel(...)" or the PTX instruction.
std::string describe_site(const Access& access);
/// Of an access of the kernel that runs.
std::string describe_site(uint32_t bits);

}  // namespace cudasim
