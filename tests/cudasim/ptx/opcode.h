// An opcode in its parts: "ld.global.nc.v4.u32" is base "ld" and modifiers, each of which its decoder must take: one that is left over is one that nobody simulates.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tests/cudasim/ptx/number_formats.h"

namespace cudasim::ptx {

enum class Type : uint8_t {
  kPred, kB8, kU8, kS8, kB16, kU16, kS16, kB32, kU32, kS32, kB64, kU64, kS64,
  kF16, kF16x2, kBf16, kBf16x2, kF32, kF64, kE4m3x2, kE5m2x2, kTf32,
};

int bytes_of(Type type);

class Opcode {
 public:
  explicit Opcode(std::string_view text);

  std::string_view base() const { return base_; }
  /// ".float", ".half" or nothing, as the first type says.
  std::string_view kind() const;
  /// Whether the modifier is there; it then counts as understood.
  bool take(std::string_view modifier);
  /// The first type not taken yet.
  std::optional<Type> take_type();
  /// .rn .rz .rm .rp .rna, and the integer forms .rni .rzi .rmi .rpi
  std::optional<Rounding> take_rounding();
  /// The first of the names that is there: its place in the list, or -1.
  int take_one_of(std::initializer_list<std::string_view> modifiers);
  bool has_any(std::initializer_list<std::string_view> modifiers) const;
  /// A modifier that nobody took, or empty.
  std::string_view left_over() const;

 private:
  std::string_view base_;
  std::vector<std::string_view> modifiers_;  // not taken
};

}  // namespace cudasim::ptx
