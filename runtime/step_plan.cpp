#include "runtime/step_plan.h"

#include "runtime/byte_stream.h"

namespace terrace {
namespace {

// On the wire every field has a fixed width and place; the structs of the header are free to change.
struct WireSlotUpdate {
  uint64_t sequence;
  int32_t slot;
  uint32_t action;
};
struct WireFrame {
  int32_t slot;
  uint32_t tier;
  uint32_t frame;
};
struct WireRow {
  int32_t slot;
  int32_t first_position;
  int32_t num_tokens;
  uint16_t output;
  uint16_t num_top;
};

}  // namespace

Bytes encode(const StepPlan& plan) {
  ByteWriter out;
  out.put(kPlanMagic);
  out.put(kPlanVersion);
  out.put(plan.kind);
  out.put(plan.step);
  out.put(plan.digest);
  std::vector<WireSlotUpdate> slots;
  for (const SlotUpdate& u : plan.slot_updates) slots.push_back({u.sequence, u.slot, static_cast<uint32_t>(u.action)});
  out.put_array<WireSlotUpdate>(slots);
  std::vector<WireFrame> frames;
  for (const FrameUpdate& f : plan.frames) frames.push_back({f.slot, static_cast<uint32_t>(f.page.tier), f.page.frame});
  out.put_array<WireFrame>(frames);
  std::vector<WireRow> rows;
  for (const PlanRow& r : plan.rows) {
    rows.push_back({r.slot, r.first_position, r.num_tokens, static_cast<uint16_t>(r.output), r.num_top});
  }
  out.put_array<WireRow>(rows);
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
    if (u.action > static_cast<uint32_t>(SlotAction::kClose)) in.fail();
    plan.slot_updates.push_back({u.sequence, u.slot, static_cast<SlotAction>(u.action)});
  }
  for (const WireFrame& f : in.get_array<WireFrame>()) {
    if (f.tier > static_cast<uint32_t>(Tier::kDevice)) in.fail();
    plan.frames.push_back({f.slot, {static_cast<Tier>(f.tier), f.frame}});
  }
  int64_t num_tokens = 0;
  for (const WireRow& r : in.get_array<WireRow>()) {
    if (r.output > static_cast<uint16_t>(RowOutput::kTokenLogprobs) || r.num_tokens <= 0 || r.first_position < 0 || r.num_top > 0xff) in.fail();
    plan.rows.push_back({r.slot, r.first_position, r.num_tokens, static_cast<RowOutput>(r.output), static_cast<uint8_t>(r.num_top)});
    num_tokens += r.num_tokens + (plan.rows.back().output == RowOutput::kTokenLogprobs ? 1 : 0);
  }
  plan.tokens = in.get_array<int32_t>();
  if (num_tokens != static_cast<int64_t>(plan.tokens.size()) || !in.at_end()) in.fail();
  return plan;
}

}  // namespace terrace
