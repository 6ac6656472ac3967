// Bits: and or xor not cnot lop3 shl shr shf bfe bfi bfind brev clz popc prmt.
#include <algorithm>
#include <bit>

#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

namespace {

struct And {
  template <typename T> T operator()(T a, T b) const { return a & b; }
};
struct Or {
  template <typename T> T operator()(T a, T b) const { return a | b; }
};
struct Xor {
  template <typename T> T operator()(T a, T b) const { return a ^ b; }
};
struct Not {
  template <typename T> T operator()(T a) const { return static_cast<T>(~a); }
};
struct IsZero {
  template <typename T> T operator()(T a) const { return a == 0; }
};

// The count of a shift is 32 bits whatever the type; counts above the width shift everything out.
template <typename T>
void shift_left(const Instruction& i, Frame& f) {
  const uint32_t count = f.get<uint32_t>(i.slot[2]);
  f.set(i.slot[0], static_cast<T>(count >= 8 * sizeof(T) ? 0 : static_cast<uint64_t>(f.get<T>(i.slot[1])) << count));
}

template <typename T>
void shift_right(const Instruction& i, Frame& f) {
  const uint32_t count = f.get<uint32_t>(i.slot[2]);
  const T value = f.get<T>(i.slot[1]);
  constexpr uint32_t kBits = 8 * sizeof(T);
  if (std::is_signed_v<T>) return f.set(i.slot[0], static_cast<T>(value >> std::min(count, kBits - 1)));
  f.set(i.slot[0], static_cast<T>(count >= kBits ? 0 : value >> count));
}

void funnel_shift(const Instruction& i, Frame& f) {  // count: 1 right, 2 clamp
  const uint64_t both = static_cast<uint64_t>(f.get<uint32_t>(i.slot[2])) << 32 | f.get<uint32_t>(i.slot[1]);
  const uint32_t asked = f.get<uint32_t>(i.slot[3]);
  const uint32_t count = i.count & 2 ? std::min(asked, 32u) : asked & 31;
  f.set(i.slot[0], static_cast<uint32_t>(i.count & 1 ? both >> count : both << count >> 32));
}

void lookup3(const Instruction& i, Frame& f) {  // immediate: the truth table
  const uint32_t a = f.get<uint32_t>(i.slot[1]), b = f.get<uint32_t>(i.slot[2]), c = f.get<uint32_t>(i.slot[3]);
  uint32_t result = 0;
  for (int k = 0; k < 8; ++k) {
    if (i.immediate >> k & 1) result |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
  }
  f.set(i.slot[0], result);
}

void permute(const Instruction& i, Frame& f) {
  const uint64_t bytes = static_cast<uint64_t>(f.get<uint32_t>(i.slot[2])) << 32 | f.get<uint32_t>(i.slot[1]);
  const uint32_t selector = f.get<uint32_t>(i.slot[3]);
  uint32_t result = 0;
  for (int k = 0; k < 4; ++k) {
    const uint32_t choice = selector >> (4 * k) & 15;
    uint32_t byte = static_cast<uint32_t>(bytes >> (8 * (choice & 7))) & 0xFF;
    if (choice & 8) byte = byte & 0x80 ? 0xFF : 0;  // its sign, all over
    result |= byte << (8 * k);
  }
  f.set(i.slot[0], result);
}

template <typename T>
void extract_field(const Instruction& i, Frame& f) {
  using U = std::make_unsigned_t<T>;
  constexpr uint32_t kBits = 8 * sizeof(T);
  const T value = f.get<T>(i.slot[1]);
  const uint32_t position = f.get<uint32_t>(i.slot[2]) & 0xFF, length = f.get<uint32_t>(i.slot[3]) & 0xFF;
  if (length == 0) return f.set(i.slot[0], T{0});
  const uint32_t top = std::min(position + length - 1, kBits - 1);
  const bool sign = std::is_signed_v<T> && (static_cast<U>(value) >> top & 1);
  U result = position >= kBits ? 0 : static_cast<U>(value) >> position;
  const uint32_t kept = std::min(length, position >= kBits ? 0 : kBits - position);
  if (kept < kBits) {
    const U mask = kept == 0 ? 0 : static_cast<U>(~U{0}) >> (kBits - kept);
    result = sign ? result | static_cast<U>(~mask) : result & mask;
  }
  f.set(i.slot[0], result);
}

template <typename T>
void insert_field(const Instruction& i, Frame& f) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  const T from = f.get<T>(i.slot[1]), into = f.get<T>(i.slot[2]);
  const uint32_t position = f.get<uint32_t>(i.slot[3]) & 0xFF, length = f.get<uint32_t>(i.slot[4]) & 0xFF;
  if (length == 0 || position >= kBits) return f.set(i.slot[0], into);
  const T field = length >= kBits ? ~T{0} : (T{1} << length) - 1;
  const T mask = field << position;
  f.set(i.slot[0], static_cast<T>((into & ~mask) | ((from << position) & mask)));
}

template <typename T>
void find_leading(const Instruction& i, Frame& f) {  // count: 1 as the distance from the top
  using U = std::make_unsigned_t<T>;
  const T value = f.get<T>(i.slot[1]);
  const U bits = static_cast<U>(std::is_signed_v<T> && value < 0 ? ~value : value);
  const uint32_t zeros = static_cast<uint32_t>(std::countl_zero(bits));
  constexpr uint32_t kBits = 8 * sizeof(T);
  f.set(i.slot[0], bits == 0 ? ~0u : i.count ? zeros : kBits - 1 - zeros);
}

template <typename T>
void count_leading(const Instruction& i, Frame& f) {
  f.set(i.slot[0], static_cast<uint32_t>(std::countl_zero(f.get<T>(i.slot[1]))));
}

template <typename T>
void count_ones(const Instruction& i, Frame& f) {
  f.set(i.slot[0], static_cast<uint32_t>(std::popcount(f.get<T>(i.slot[1]))));
}

template <typename T>
void reverse_bits(const Instruction& i, Frame& f) {
  const T value = f.get<T>(i.slot[1]);
  T result = 0;
  for (size_t k = 0; k < 8 * sizeof(T); ++k) result |= static_cast<T>(value >> k & 1) << (8 * sizeof(T) - 1 - k);
  f.set(i.slot[0], result);
}

void not_predicate(const Instruction& i, Frame& f) { f.slots[i.slot[0]] = !(f.slots[i.slot[1]] & 1); }

template <typename Function>
void decode_binary(Decoder& d) {
  const Type type = d.type();
  d.emit_plain(type == Type::kPred ? run_binary<uint8_t, Function> : integer_binary<Function>(type), 2);
}

void decode_not(Decoder& d) {
  const Type type = d.type();
  d.emit_plain(type == Type::kPred ? not_predicate : integer_unary<Not>(type), 1);
}

void decode_cnot(Decoder& d) { d.emit_plain(integer_unary<IsZero>(d.type()), 1); }

void decode_shift_left(Decoder& d) {
  d.emit_plain(for_integer(d.type(), []<typename T>() -> Execute { return shift_left<std::make_unsigned_t<T>>; }), 2);
}

void decode_shift_right(Decoder& d) {
  d.emit_plain(for_integer(d.type(), []<typename T>() -> Execute { return shift_right<T>; }), 2);
}

void decode_funnel(Decoder& d) {
  const bool right = d.opcode.take_one_of({"l", "r"}) == 1;
  const bool clamp = d.opcode.take_one_of({"wrap", "clamp"}) == 1;
  if (bytes_of(d.type()) != 4) d.fail("32 bits only");
  d.emit_plain(funnel_shift, 3).count = static_cast<uint8_t>((right ? 1 : 0) | (clamp ? 2 : 0));
}

void decode_lop3(Decoder& d) {
  if (bytes_of(d.type()) != 4 || d.num_operands() != 5) d.fail("only lop3.b32 with a truth table");
  d.emit_plain(lookup3, 3).immediate = d.operand(4).immediate;
}

void decode_permute(Decoder& d) {
  if (d.type() != Type::kB32) d.fail("32 bits only");
  d.emit_plain(permute, 3);
}

template <template <typename> class Pick>
Execute by_width(Decoder& d) {
  const Type type = d.type();
  if (bytes_of(type) == 4) return Pick<uint32_t>::get();
  if (bytes_of(type) == 8) return Pick<uint64_t>::get();
  d.fail("32 or 64 bits only");
}

template <typename T> struct PickInsert { static Execute get() { return insert_field<T>; } };
template <typename T> struct PickCountLeading { static Execute get() { return count_leading<T>; } };
template <typename T> struct PickCountOnes { static Execute get() { return count_ones<T>; } };
template <typename T> struct PickReverse { static Execute get() { return reverse_bits<T>; } };

void decode_extract(Decoder& d) {
  d.emit_plain(for_integer(d.type(), []<typename T>() -> Execute { return extract_field<T>; }), 3);
}

void decode_find(Decoder& d) {
  const bool distance = d.opcode.take("shiftamt");
  d.emit_plain(for_integer(d.type(), []<typename T>() -> Execute { return find_leading<T>; }), 1).count = distance;
}

}  // namespace

void add_logic_ops(OpcodeTable& table) {
  table["and"] = decode_binary<And>;
  table["or"] = decode_binary<Or>;
  table["xor"] = decode_binary<Xor>;
  table["not"] = decode_not;
  table["cnot"] = decode_cnot;
  table["shl"] = decode_shift_left;
  table["shr"] = decode_shift_right;
  table["shf"] = decode_funnel;
  table["lop3"] = decode_lop3;
  table["prmt"] = decode_permute;
  table["bfe"] = decode_extract;
  table["bfi"] = [](Decoder& d) { d.emit_plain(by_width<PickInsert>(d), 4); };
  table["bfind"] = decode_find;
  table["clz"] = [](Decoder& d) { d.emit_plain(by_width<PickCountLeading>(d), 1); };
  table["popc"] = [](Decoder& d) { d.emit_plain(by_width<PickCountOnes>(d), 1); };
  table["brev"] = [](Decoder& d) { d.emit_plain(by_width<PickReverse>(d), 1); };
}

}  // namespace cudasim::ptx
