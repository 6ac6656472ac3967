#include "tests/cudasim/ptx/opcode.h"

#include <algorithm>
#include <utility>

namespace cudasim::ptx {

namespace {

constexpr std::pair<std::string_view, Type> kTypes[] = {
    {"pred", Type::kPred}, {"b8", Type::kB8},     {"u8", Type::kU8},     {"s8", Type::kS8},         {"b16", Type::kB16},       {"u16", Type::kU16},
    {"s16", Type::kS16},   {"b32", Type::kB32},   {"u32", Type::kU32},   {"s32", Type::kS32},       {"b64", Type::kB64},       {"u64", Type::kU64},
    {"s64", Type::kS64},   {"f16", Type::kF16},   {"bf16", Type::kBf16}, {"f16x2", Type::kF16x2},   {"bf16x2", Type::kBf16x2}, {"f32", Type::kF32},
    {"f64", Type::kF64},   {"e4m3x2", Type::kE4m3x2}, {"e5m2x2", Type::kE5m2x2}, {"tf32", Type::kTf32}};

constexpr std::pair<std::string_view, Rounding> kRoundings[] = {
    {"rn", Rounding::kNearest},  {"rz", Rounding::kZero},  {"rm", Rounding::kDown},  {"rp", Rounding::kUp}, {"rna", Rounding::kNearestAway},
    {"rni", Rounding::kNearest}, {"rzi", Rounding::kZero}, {"rmi", Rounding::kDown}, {"rpi", Rounding::kUp}};

template <typename Table>
auto take_from(std::vector<std::string_view>& modifiers, const Table& table) -> std::optional<decltype(table[0].second)> {
  for (auto modifier = modifiers.begin(); modifier != modifiers.end(); ++modifier) {
    for (const auto& [name, value] : table) {
      if (name != *modifier) continue;
      modifiers.erase(modifier);
      return value;
    }
  }
  return std::nullopt;
}

}  // namespace

int bytes_of(Type type) {
  switch (type) {
    case Type::kPred: case Type::kB8: case Type::kU8: case Type::kS8: return 1;
    case Type::kB16: case Type::kU16: case Type::kS16: case Type::kF16: case Type::kBf16: case Type::kE4m3x2: case Type::kE5m2x2: return 2;
    case Type::kB64: case Type::kU64: case Type::kS64: case Type::kF64: return 8;
    default: return 4;
  }
}

Opcode::Opcode(std::string_view text) {
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('.', begin), text.size());
    if (begin == 0) {
      base_ = text.substr(0, end);
    } else {
      modifiers_.push_back(text.substr(begin, end - begin));
    }
    begin = end + 1;
  }
}

bool Opcode::take(std::string_view modifier) {
  const auto found = std::find(modifiers_.begin(), modifiers_.end(), modifier);
  if (found == modifiers_.end()) return false;
  modifiers_.erase(found);
  return true;
}

std::string_view Opcode::kind() const {
  for (const std::string_view modifier : modifiers_) {
    if (modifier == "f32" || modifier == "f64") return ".float";
    if (modifier == "f16" || modifier == "bf16" || modifier == "f16x2" || modifier == "bf16x2") return ".half";
    if (std::any_of(std::begin(kTypes), std::end(kTypes), [&](const auto& type) { return type.first == modifier; })) break;
  }
  return {};
}

std::optional<Type> Opcode::take_type() { return take_from(modifiers_, kTypes); }

std::optional<Rounding> Opcode::take_rounding() { return take_from(modifiers_, kRoundings); }

int Opcode::take_one_of(std::initializer_list<std::string_view> modifiers) {
  int index = 0;
  for (const std::string_view modifier : modifiers) {
    if (take(modifier)) return index;
    ++index;
  }
  return -1;
}

bool Opcode::has_any(std::initializer_list<std::string_view> modifiers) const {
  return std::find_first_of(modifiers_.begin(), modifiers_.end(), modifiers.begin(), modifiers.end()) != modifiers_.end();
}

std::string_view Opcode::left_over() const { return modifiers_.empty() ? std::string_view() : modifiers_[0]; }

}  // namespace cudasim::ptx
