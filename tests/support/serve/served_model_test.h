// A tiny model and the loop that serves it, for tests of what stands around that loop.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "comm/group.h"
#include "launcher/serve/engine_loop.h"
#include "runtime/session.h"
#include "tests/support/runtime/tiny_model.h"

namespace terrace {

class ServedModelTest : public ::testing::Test {
 protected:
  ServedModelTest() : path_(std::filesystem::temp_directory_path() / ("served_model_test." + std::to_string(::getpid()) + ".gguf")) {
    const TinyVocabulary vocabulary = tiny_bpe("smollm");
    std::ofstream(path_, std::ios::binary)
        << make_tiny_model({.vocab_size = static_cast<int32_t>(vocabulary.tokens.size()), .context_length = 4096, .vocabulary = &vocabulary}).build();
    config_.model.path = path_;
    config_.parallel.threads = 1;
    config_.cache.device = {4 << 20, 0};
    config_.scheduler.max_sequences = 4;
  }
  ~ServedModelTest() override { std::filesystem::remove(path_); }

  // The loop on this thread, as in a server; `clients` on another, at whose end the server is told to end.
  void serve(const EngineLoop::Options& options, const std::function<void(EngineLoop&, Session&)>& clients) {
    signal_ = 0;
    run_ranks({}, [&](RankGroup& group) {
      Session session(config_, group, {.announce = false, .load_progress = {}});
      EngineLoop loop(session.engine(), metrics_, options);
      std::thread thread([&] {
        clients(loop, session);
        signal_ = SIGTERM;
      });
      loop.run(signal_);
      thread.join();
      running_at_end_ = session.engine().stats().running;
      busy_at_end_ = session.engine().busy();
      session.engine().stop();
      return 0;
    });
    EXPECT_FALSE(busy_at_end_);
    EXPECT_EQ(running_at_end_, 0);
  }
  void serve(const EngineLoop::Options& options, const std::function<void(EngineLoop&)>& clients) {
    serve(options, [&clients](EngineLoop& loop, Session&) { clients(loop); });
  }

  const std::string path_;
  Config config_;
  ServerMetrics metrics_;
  std::atomic<int> signal_ = 0;
  int32_t running_at_end_ = -1;
  bool busy_at_end_ = true;
};

}  // namespace terrace
