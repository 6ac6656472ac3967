#include "kernels/cpu/isa.h"

#include <cpuid.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"scalar", "avx2", "avx512", "vnni", "amx"};

bool has_f16c() {  // __builtin_cpu_supports() of clang 14 does not know it
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

/// Tiles and int8 products, and the kernel's leave to use them: a process that has not asked is killed at the first tile.
bool amx_is_there() {
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;  // CPUID 7.0 EDX
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kTile) == 0 || (edx & kInt8) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

std::string_view isa_name(Isa isa) { return kNames[static_cast<size_t>(isa)]; }

Isa detect_isa() {
  // The builtins also check that the operating system saves the wider registers (XCR0).
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return Isa::kScalar;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!avx512) return Isa::kAvx2;
  if (!__builtin_cpu_supports("avx512vnni")) return Isa::kAvx512;
  return amx_is_there() ? Isa::kAmx : Isa::kVnni;
}

Isa choose_isa(std::string_view cap, Isa offered) {
  if (cap.empty()) return offered;
  const auto* name = std::find(kNames.begin(), kNames.end(), cap);
  if (name == kNames.end()) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("TERRACE_ISA: unknown level \"{}\"; known: scalar, avx2, avx512, vnni, amx", cap));
  }
  const Isa isa = static_cast<Isa>(name - kNames.begin());
  if (isa > offered) {
    throw Error(ErrorCode::kInvalidValue,
                fmt::format("TERRACE_ISA={}: this machine offers {} at most; choose that or a lower level", cap, isa_name(offered)));
  }
  return isa;
}

bool has_amx_bf16() {
  constexpr unsigned kTileBf16 = 1u << 22;  // CPUID 7.0 EDX
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return detect_isa() >= Isa::kAmx && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kTileBf16) != 0;
}

bool has_bf16_pairs() {
  constexpr unsigned kBf16 = 1u << 5;  // CPUID 7.1 EAX
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return detect_isa() >= Isa::kVnni && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kBf16) != 0;
}

// By maker, since virtual machines hide the AMX of Intel's that have it.
bool has_fast_bf16_pairs() { return has_bf16_pairs() && __builtin_cpu_is("amd"); }

Isa configured_isa(std::string_view option) {
  const char* variable = std::getenv("TERRACE_ISA");
  return choose_isa(option.empty() && variable != nullptr ? std::string_view(variable) : option);
}

}  // namespace terrace
