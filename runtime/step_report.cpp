#include "runtime/step_report.h"

#include "runtime/byte_stream.h"

namespace terrace {
namespace {

struct WireMoveResult {
  uint32_t id;
  uint32_t outcome;
  int64_t us;
  int64_t busy_us;
  uint64_t bytes;
};

}  // namespace

Bytes encode(const StepReport& report) {
  ByteWriter out;
  out.put(report.step);
  out.put(report.digest);
  out.put(report.compute_us);
  out.put(report.all_reduce_us);
  out.put(report.reading.pages_read);
  out.put(report.reading.pages_seen);
  out.put(report.reading.left_out);
  std::vector<WireMoveResult> moves;
  for (const MoveResult& m : report.moves) moves.push_back({m.id, static_cast<uint32_t>(m.outcome), m.us, m.busy_us, m.bytes});
  out.put_array<WireMoveResult>(moves);
  out.put_array<char>(report.tables);
  out.put(static_cast<uint64_t>(report.positions.size()));
  for (const PositionReport& position : report.positions) {
    out.put(position.max);
    out.put(position.sum_exp);
    out.put(position.target_logit);
    out.put(static_cast<uint32_t>(position.has_target));
    out.put_array<TokenLogit>(position.top);
    out.put_array<float>(position.full);
  }
  out.put_array<float>(report.hidden_states);
  return out.take();
}

StepReport decode_report(std::span<const std::byte> bytes) {
  ByteReader in(bytes, "step report");
  StepReport report;
  report.step = in.get<uint64_t>();
  report.digest = in.get<uint64_t>();
  report.compute_us = in.get<int64_t>();
  report.all_reduce_us = in.get<int64_t>();
  report.reading.pages_read = in.get<int64_t>();
  report.reading.pages_seen = in.get<int64_t>();
  report.reading.left_out = in.get<float>();
  for (const WireMoveResult& m : in.get_array<WireMoveResult>()) {
    if (m.outcome > static_cast<uint32_t>(MoveOutcome::kIo)) in.fail();
    report.moves.push_back({m.id, static_cast<MoveOutcome>(m.outcome), m.us, m.busy_us, static_cast<uint32_t>(m.bytes)});
  }
  const std::vector<char> tables = in.get_array<char>();
  report.tables.assign(tables.begin(), tables.end());
  const auto count = in.get<uint64_t>();
  if (count > bytes.size()) in.fail();
  report.positions.resize(count);
  for (PositionReport& position : report.positions) {
    position.max = in.get<float>();
    position.sum_exp = in.get<float>();
    position.target_logit = in.get<float>();
    position.has_target = in.get<uint32_t>() != 0;
    position.top = in.get_array<TokenLogit>();
    position.full = in.get_array<float>();
  }
  report.hidden_states = in.get_array<float>();
  if (!in.at_end()) in.fail();
  return report;
}

}  // namespace terrace
