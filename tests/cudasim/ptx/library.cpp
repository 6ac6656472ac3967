#include "tests/cudasim/ptx/library.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/cudasim/ptx/parser.h"

namespace cudasim::ptx {

Library::Library(const std::string& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  for (const auto& file : std::filesystem::directory_iterator(folder, error)) {
    if (file.path().extension() == ".ptx") paths.push_back(file.path());
  }
  if (paths.empty()) throw PtxError(fmt::format("{}: no .ptx file in this folder", folder));
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    add(path.string(), text.str());
  }
}

void Library::add(std::string path, std::string text) { modules_.push_back(parse_outline(std::move(path), std::move(text))); }

Decoder::Callee Library::decode(const Module& module, std::string_view name) {
  const auto found = module.functions.find(name);
  if (found == module.functions.end()) return {};
  Function& function = *found->second;
  const auto [program, added] = programs_.emplace(&function, nullptr);
  if (added) {
    program->second = std::make_unique<Program>();  // before its body is looked at: it may call itself
    Program& made = *program->second;
    parse_body(module, function);
    Decoder(module, function, made, [this, &module](std::string_view callee) { return decode(module, callee); }).run();
    return {&made, &function};
  }
  return {program->second.get(), &function};
}

const PtxKernel* Library::find(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(name); found != entries_.end()) return &found->second.kernel;
  for (const auto& module : modules_) {
    const Decoder::Callee callee = decode(*module, name);
    if (callee.program == nullptr || !callee.function->is_entry) continue;
    Entry& entry = entries_[name];
    entry.program = callee.program;
    entry.kernel.name = name;
    entry.kernel.static_shared_bytes = callee.program->shared_bytes;
    entry.kernel.run = [this, &entry](const unsigned char* params) { run(entry, params); };
    return &entry.kernel;
  }
  return nullptr;
}

void Library::run(Entry& entry, const unsigned char* params) {
  const Program& program = *entry.program;
  if (program.max_threads > 0 && current_block->num_lanes > program.max_threads && current_lane->id == 0) {
    report(fmt::format("{} was launched with {} threads a block, its __launch_bounds__ allow {}", program.name, current_block->num_lanes, program.max_threads));
  }
  entry.executed.fetch_add(run_lane(program, params), std::memory_order_relaxed);
}

std::vector<std::string> Library::unknown_statements() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& module : modules_) {
    for (const auto& [name, function] : module->functions) {
      const Program& program = *decode(*module, name).program;
      all.insert(all.end(), program.unknown.begin(), program.unknown.end());
    }
  }
  return all;
}

bool Library::owns(const void* address, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (const auto& module : modules_) {
    for (const auto& variable : module->variables) {
      if (variable->space != Space::kShared && at >= variable->offset && at + bytes <= variable->offset + variable->bytes) return true;
    }
  }
  return false;
}

std::string Library::statistics() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [name, entry] : entries_) text += fmt::format("cudasim: {}: {} lane instructions\n", name, entry.executed.load());
  return text;
}

}  // namespace cudasim::ptx
