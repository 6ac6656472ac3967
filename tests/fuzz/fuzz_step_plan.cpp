// Bytes from another rank: a damaged step plan or report is an Error, a whole one survives a round trip.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "kernels/base/error.h"
#include "runtime/step_plan.h"
#include "runtime/step_report.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const terrace::StepPlan plan = terrace::decode_plan(bytes);
    if (terrace::decode_plan(terrace::encode(plan)).tokens != plan.tokens) std::abort();
  } catch (const terrace::Error&) {
  }
  try {
    const terrace::StepReport report = terrace::decode_report(bytes);
    if (terrace::encode(report).size() != size) std::abort();
  } catch (const terrace::Error&) {
  }
  return 0;
}
