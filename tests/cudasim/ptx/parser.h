// Reads .ptx text into a Module. The outline (functions, variables) is read at once, a body when it is asked for, since most entries of a file are never run.
#pragma once

#include <memory>
#include <string>

#include "tests/cudasim/ptx/module.h"

namespace cudasim::ptx {

/// Throws PtxError with file and line for what it doesn't know.
std::unique_ptr<Module> parse_outline(std::string path, std::string text);

/// Fills the registers, variables and statements of a function of the module; once.
void parse_body(const Module& module, Function& function);

}  // namespace cudasim::ptx
