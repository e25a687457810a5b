#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace tessera::rils {

/// Is called with the stage of the work and how much of it is done. A stage of unknown size has a total of 0; it ends
/// with done == total.
using PrepareProgress = std::function<void(std::string_view stage, int64_t done, int64_t total)>;

}  // namespace tessera::rils
