// Writes the summaries of pages' keys (page_layout.h), which sparse reading chooses pages by. Any thread.
#pragma once

#include <cstddef>

#include "kernels/cpu/row_ops.h"
#include "kernels/page_layout.h"

namespace terrace {

/// Of all heads of one layer of a full page, from its keys as they are stored: as scores are made of them.
void summarise_page(const PageLayout& layout, int32_t layer, const RowOps& ops, std::byte* page);

}  // namespace terrace
