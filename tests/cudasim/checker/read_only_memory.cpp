#include "tests/cudasim/checker/read_only_memory.h"

#include <link.h>

#include <cstdint>

namespace cudasim {

namespace {

struct Question {
  uintptr_t begin, end;
  bool answer = false;
};

int look_at(dl_phdr_info* object, size_t, void* data) {
  auto& question = *static_cast<Question*>(data);
  for (int k = 0; k < object->dlpi_phnum; ++k) {
    const auto& part = object->dlpi_phdr[k];
    const bool constant = (part.p_type == PT_LOAD && !(part.p_flags & PF_W)) || part.p_type == PT_GNU_RELRO;
    const uintptr_t begin = object->dlpi_addr + part.p_vaddr;
    if (constant && question.begin >= begin && question.end <= begin + part.p_memsz) question.answer = true;
  }
  return question.answer;
}

}  // namespace

bool is_read_only(const void* address, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(address);
  Question question{begin, begin + bytes};
  dl_iterate_phdr(look_at, &question);
  return question.answer;
}

}  // namespace cudasim
