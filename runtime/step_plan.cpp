#include "runtime/step_plan.h"

#include <limits>

#include "runtime/byte_stream.h"

namespace terrace {
namespace {

// On the wire every field has a fixed width and place; the structs of the header are free to change.
struct WireSlotUpdate {
  uint64_t sequence;
  int32_t slot;
  int32_t sparse_from;  // < 0: the slot is closed
};
struct WireFrame {
  int32_t slot;
  int32_t index;
  uint32_t place;  // tier | group << 8
  uint32_t frame;
};
struct WireMove {
  uint32_t id;
  uint32_t tiers;  // from | to << 8
  uint32_t from;
  uint32_t to;
  PageKey key;
};
// Rows go as one array a field: 10 bytes a row, so that a decode step of 256 rows stays under 4 KB.
struct WireRows {
  std::vector<int32_t> first_position;
  std::vector<uint16_t> slot;
  std::vector<uint16_t> num_tokens;
  std::vector<uint8_t> output;
  std::vector<uint8_t> num_top;
};

void encode_moves(const StepPlan& plan, ByteWriter& out) {
  std::vector<WireMove> moves;
  for (const PageMove& m : plan.moves) {
    moves.push_back({m.id, static_cast<uint32_t>(m.from.tier) | static_cast<uint32_t>(m.to.tier) << 8, m.from.frame, m.to.frame, m.key});
  }
  out.put_array<WireMove>(moves);
  for (const PageRecord& record : plan.records) {
    out.put(record.parent);
    out.put(int64_t{record.depth} | int64_t{record.alone} << 32);
    out.put_array<int32_t>(record.tokens);
  }
}

void decode_moves(ByteReader& in, StepPlan& plan) {
  for (const WireMove& m : in.get_array<WireMove>()) {
    const uint32_t from = m.tiers & 0xff;
    const uint32_t to = m.tiers >> 8;
    if (from >= kNumTiers || to >= kNumTiers) in.fail();
    plan.moves.push_back({m.id, {static_cast<Tier>(from), m.from}, {static_cast<Tier>(to), m.to}, m.key});
    if (!plan.moves.back().is_possible()) in.fail();
  }
  for (const PageMove& move : plan.moves) {
    if (move.to.tier != Tier::kDisk) continue;
    PageRecord& record = plan.records.emplace_back();
    record.key = move.key;
    record.parent = in.get<PageKey>();
    const auto depth = in.get<int64_t>();  // and, above it, `alone`
    record.depth = static_cast<int32_t>(depth & std::numeric_limits<int32_t>::max());
    record.alone = depth >> 32 != 0;
    if ((depth & ~(int64_t{1} << 32)) != record.depth) in.fail();
    record.tokens = in.get_array<int32_t>();
  }
}

}  // namespace

Bytes encode(const StepPlan& plan) {
  ByteWriter out;
  out.put(kPlanMagic);
  out.put(kPlanVersion);
  out.put(plan.kind);
  out.put(plan.step);
  out.put(plan.digest);
  std::vector<WireSlotUpdate> slots;
  for (const SlotUpdate& u : plan.slot_updates) slots.push_back({u.sequence, u.slot, u.action == SlotAction::kOpen ? u.sparse_from : -1});
  out.put_array<WireSlotUpdate>(slots);
  std::vector<WireFrame> frames;
  for (const FrameUpdate& f : plan.frames) frames.push_back({f.slot, f.index, static_cast<uint32_t>(f.page.tier) | static_cast<uint32_t>(f.group) << 8, f.page.frame});
  out.put_array<WireFrame>(frames);
  out.put_array<FrameCopy>(plan.copies);
  encode_moves(plan, out);
  WireRows rows;
  for (const PlanRow& r : plan.rows) {
    rows.first_position.push_back(r.first_position);
    rows.slot.push_back(static_cast<uint16_t>(r.slot));
    rows.num_tokens.push_back(static_cast<uint16_t>(r.num_tokens));
    rows.output.push_back(static_cast<uint8_t>(r.output));
    rows.num_top.push_back(r.num_top);
  }
  out.put_array<int32_t>(rows.first_position);
  out.put_array<uint16_t>(rows.slot);
  out.put_array<uint16_t>(rows.num_tokens);
  out.put_array<uint8_t>(rows.output);
  out.put_array<uint8_t>(rows.num_top);
  out.put_array<int32_t>(plan.tokens);
  return out.take();
}

StepPlan decode_plan(std::span<const std::byte> bytes) {
  ByteReader in(bytes, "step plan");
  if (in.get<uint32_t>() != kPlanMagic || in.get<uint16_t>() != kPlanVersion) in.fail();
  StepPlan plan;
  plan.kind = in.get<StepKind>();
  if (plan.kind > StepKind::kStop) in.fail();
  plan.step = in.get<uint64_t>();
  plan.digest = in.get<uint64_t>();
  for (const WireSlotUpdate& u : in.get_array<WireSlotUpdate>()) {
    if (u.sparse_from < -1) in.fail();
    const bool open = u.sparse_from >= 0;
    plan.slot_updates.push_back({u.sequence, u.slot, open ? SlotAction::kOpen : SlotAction::kClose, open ? u.sparse_from : kReadsAll});
  }
  for (const WireFrame& f : in.get_array<WireFrame>()) {
    const uint32_t tier = f.place & 0xff;
    if (tier > static_cast<uint32_t>(Tier::kHost) || f.index < 0) in.fail();
    plan.frames.push_back({f.slot, static_cast<int32_t>(f.place >> 8), f.index, {static_cast<Tier>(tier), f.frame}});
  }
  plan.copies = in.get_array<FrameCopy>();
  decode_moves(in, plan);
  const auto first_position = in.get_array<int32_t>();
  const auto slot = in.get_array<uint16_t>();
  const auto row_tokens = in.get_array<uint16_t>();
  const auto output = in.get_array<uint8_t>();
  const auto num_top = in.get_array<uint8_t>();
  const size_t num_rows = first_position.size();
  if (slot.size() != num_rows || row_tokens.size() != num_rows || output.size() != num_rows || num_top.size() != num_rows) in.fail();
  int64_t num_tokens = 0;
  for (size_t i = 0; i < num_rows; ++i) {
    if (output[i] > static_cast<uint8_t>(RowOutput::kLastHiddenState) || row_tokens[i] == 0 || first_position[i] < 0) in.fail();
    plan.rows.push_back({slot[i], first_position[i], row_tokens[i], static_cast<RowOutput>(output[i]), num_top[i]});
    num_tokens += row_tokens[i] + (plan.rows.back().output == RowOutput::kTokenLogprobs ? 1 : 0);
  }
  plan.tokens = in.get_array<int32_t>();
  if (num_tokens != static_cast<int64_t>(plan.tokens.size()) || !in.at_end()) in.fail();
  return plan;
}

}  // namespace terrace
