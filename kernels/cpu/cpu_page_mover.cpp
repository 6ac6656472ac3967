#include "kernels/cpu/cpu_page_mover.h"

#include <cstring>

namespace terrace {

PageMover::Ticket CpuPageMover::evict(std::span<const Move> moves) {
  for (const Move& move : moves) std::memcpy(host_page(move.host_frame), device_page(move.device_frame), options_.page_bytes);
  return 0;
}

PageMover::Ticket CpuPageMover::fetch(std::span<const Move> moves) {
  for (const Move& move : moves) std::memcpy(device_page(move.device_frame), host_page(move.host_frame), options_.page_bytes);
  return 0;
}

}  // namespace terrace
