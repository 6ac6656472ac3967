// The kernels of a folder of .ptx files. Outlines are read when the first is asked for, a kernel is decoded when it is first launched. Any thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/decoder.h"
#include "tests/cudasim/ptx/module.h"

namespace cudasim::ptx {

class Library {
 public:
  /// Every *.ptx in the folder. Throws PtxError if there is none, or for what can't be read.
  explicit Library(const std::string& folder);
  /// Text given, for tests.
  Library(std::string path, std::string text) { add(std::move(path), std::move(text)); }

  /// Null: no such entry. Lives as long as the library.
  const PtxKernel* find(const std::string& name);
  /// What find() would give, for every entry of every file: statements that nobody can run.
  std::vector<std::string> unknown_statements();
  /// Whether a .global or .const variable of a module lies there.
  bool owns(const void* address, size_t bytes) const;
  /// "kernel: N lane instructions", a line each.
  std::string statistics() const;

 private:
  struct Entry {
    PtxKernel kernel;
    const Program* program = nullptr;
    std::atomic<uint64_t> executed{0};
  };

  void add(std::string path, std::string text);
  Decoder::Callee decode(const Module& module, std::string_view name);
  void run(Entry& entry, const unsigned char* params);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Module>> modules_;
  std::map<const Function*, std::unique_ptr<Program>> programs_;
  std::map<std::string, Entry, std::less<>> entries_;
};

/// Of the library that CUDASIM_PTX names.
bool owns_variable(const void* address, size_t bytes);

}  // namespace cudasim::ptx
