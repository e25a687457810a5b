#pragma once

// What a warp's fragments go through when its lanes have met.
#include <cstdint>

namespace tessera::emulation {

struct Product {
  float* sums;            ///< 4
  const uint32_t* left;   ///< 4 pairs of bf16
  const uint32_t* right;  ///< 2
};
/// sums [16, 8] += left [16, 16] · right [16, 8], in the layouts of mma.sync.m16n8k16. The 16 products of an element
/// are added in order, and then to its sum.
void multiply(unsigned mask, void* const* operands);

struct Row {
  uint32_t words[4];  ///< the row that this lane points to
  uint32_t* result;   ///< 4 words, or 2
};
/// Fragments of four 8×8 matrices, or of two, from the rows of lanes 8 j + i.
void load_four(unsigned mask, void* const* operands);
void load_four_transposed(unsigned mask, void* const* operands);
void load_two_transposed(unsigned mask, void* const* operands);

}  // namespace tessera::emulation
