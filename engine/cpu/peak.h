#pragma once

#include <string_view>

namespace tessera::cpu {

/// Operations per second (a multiply-add counts as two) of one thread in a loop of independent f32 multiply-adds in
/// registers. The measurement takes about a millisecond and gives the most that a product can reach at this moment; the
/// clock, and other users of the core, change it. `isa` is the name of a kernel table, whose vectors the loop uses.
[[nodiscard]] double fma_peak(std::string_view isa);
/// The same for products of bf16 that are summed in f32: by the instructions that the table has for them, else by those
/// of f32.
[[nodiscard]] double bf16_peak(std::string_view isa);

}  // namespace tessera::cpu
