// What the processor can do, and the cap that the user may put on it. Pure functions; asked once when a backend starts.
#pragma once

#include <string_view>

namespace terrace {

/// Each level includes those before it. kAvx2: with FMA and F16C. kAvx512: F, BW, VL and DQ. kAmx: tiles of int8.
enum class Isa { kScalar, kAvx2, kAvx512, kVnni, kAmx };

std::string_view isa_name(Isa isa);

/// The highest level that processor and operating system offer.
Isa detect_isa();

/// `cap`: "" or a level's name. The level to run at: the highest that is offered, or `cap`.
/// Throws kInvalidValue for an unknown name or a level above what the machine offers.
Isa choose_isa(std::string_view cap, Isa offered = detect_isa());

/// Whether AMX, where it is, has tiles of bfloat16.
bool has_amx_bf16();

/// Whether there are products of bfloat16 pairs (AVX512_BF16).
bool has_bf16_pairs();

/// Whether they have twice the rate of floats: AMD's do, Intel's have at most the same, so that a prompt's attention takes longer by them.
bool has_fast_bf16_pairs();

/// choose_isa() of `option`, or where that is empty of the environment's TERRACE_ISA.
Isa configured_isa(std::string_view option);

}  // namespace terrace
