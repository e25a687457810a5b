#pragma once

#include <string_view>

namespace tessera::cpu {

/// Operations a second (a multiply-add counts two) of one thread in a loop of independent multiply-adds in f32
/// registers, measured now, for about a millisecond: what a product can reach at best at this moment, since the clock,
/// and whoever shares the core, change. `isa` is the name of a kernel table: the loop uses its vectors.
[[nodiscard]] double fma_peak(std::string_view isa);

}  // namespace tessera::cpu
