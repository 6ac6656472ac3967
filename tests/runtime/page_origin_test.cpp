// A page may be taken over by another run only if its bytes would be the same there, and then always.
#include "runtime/page_origin.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "kernels/backend.h"

namespace terrace {
namespace {

class PageOriginTest : public ::testing::Test {
 protected:
  PageOriginInputs inputs() {
    return {.file = nullptr, .geometry = &geometry_, .model = &model_, .layout = layout_, .stored = layout_.format(), .num_ranks = 2, .ranks_per_host = 2, .arithmetic = "cpu arithmetic 1"};
  }

  GeometryConfig geometry_;
  ModelConfig model_ = make_dummy_model_config(geometry_);
  PageLayout layout_ = make_page_layout(KvType::kF16, 16, 2, 4, 16);
};

TEST_F(PageOriginTest, EverythingThatTheBytesDependOnIsInIt) {
  std::set<std::string> origins = {page_origin(inputs())};
  EXPECT_TRUE(origins.contains(page_origin(inputs())));
  const std::vector<std::function<void(PageOriginInputs&)>> changes = {
      [&](PageOriginInputs& i) { i.layout = make_page_layout(KvType::kBF16, 16, 2, 4, 16); },
      [&](PageOriginInputs& i) { i.layout = make_page_layout(KvType::kQ4, 16, 2, 4, 16); },
      [&](PageOriginInputs& i) { i.layout = make_page_layout({KvType::kQ8, KvType::kQ4}, 16, 2, 4, 16); },
      [&](PageOriginInputs& i) { i.layout = make_page_layout(KvType::kF16, 32, 2, 4, 16); },
      [&](PageOriginInputs& i) { i.layout = make_page_layout(KvType::kF16, 16, 3, 4, 16); },
      [&](PageOriginInputs& i) { i.layout = make_page_layout(KvType::kF16, 16, 2, 2, 16); },
      [&](PageOriginInputs& i) { i.layout = make_page_layout(KvType::kF16, 16, 2, 4, 32); },
      [&](PageOriginInputs& i) { i.stored = KvType::kQ8; },
      [&](PageOriginInputs& i) { i.num_ranks = 1; },
      [&](PageOriginInputs& i) { i.ranks_per_host = 1; },
      [&](PageOriginInputs& i) { i.arithmetic = "cpu arithmetic 2"; },
      [&](PageOriginInputs&) { geometry_.rope_base = 5000; },
      [&](PageOriginInputs&) { geometry_.format = DType::kQ8_0; },
      [&](PageOriginInputs&) { model_.sparse.mode = SparseReading::Mode::kTop; },
      [&](PageOriginInputs&) { model_.sparse.pages = 3; },
      [&](PageOriginInputs&) { model_.architecture = "qwen2"; },
      [&](PageOriginInputs&) { model_.rms_eps = 1e-6f; },
      [&](PageOriginInputs&) { model_.attention_scale *= 2; },
      [&](PageOriginInputs&) { model_.embedding_scale = 2; },
      [&](PageOriginInputs&) { model_.gate_activation = GateActivation::kGeluTanh; },
      [&](PageOriginInputs&) { model_.head_norms = true; },
      [&](PageOriginInputs&) { model_.post_norms = true; },
      [&](PageOriginInputs&) { model_.windows.front() = 8; },
      [&](PageOriginInputs&) { model_.rope.inverse_frequency.back() *= 2; },
      [&](PageOriginInputs&) { model_.rope.attention_factor = 2; },
      [&](PageOriginInputs&) { model_.window_rope = model_.rope; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    PageOriginInputs changed = inputs();
    changes[i](changed);
    EXPECT_TRUE(origins.insert(page_origin(changed)).second) << "change " << i;
  }
}

TEST_F(PageOriginTest, ThreadsAndInstructionsOfTheCpuAreNotInIt) {
  BackendOptions options;
  const auto one = make_backend("cpu", options);
  options.num_threads = 2;
  const auto two = make_backend("cpu", options);
  EXPECT_NE(one->describe(), two->describe());
  EXPECT_EQ(one->arithmetic(), two->arithmetic());
  EXPECT_EQ(one->arithmetic().find("avx"), std::string::npos);
}

}  // namespace
}  // namespace terrace
