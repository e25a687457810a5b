#pragma once

// Panels of the left side of a product, in the layout that the register tile reads. Include inside the region of
// isa_begin.h.
#include "engine/cpu/gemm/pack.h"
#include "engine/cpu/gemm/tile.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

/// Units from one panel to the next for k of them.
template <class U>
constexpr int64_t left_stride(int64_t k) {
  constexpr int kRows = Tile<U>::kRows;
  constexpr int kBlock = kUnitsOfRow<U>;
  if constexpr (kBlock == 1) return panel_stride<kRows, U>(k);
  return (k + kBlock - 1) / kBlock * kBlock * kRows;
}

/// Panels whose rows have kUnitsOfRow adjacent units: unit i of row r lies at ((i / kBlock) * kRows + r) * kBlock +
/// i % kBlock. The last block is filled with zeros.
template <class U, class T>
void pack_blocks(const Part<T>& part, U* out, int64_t stride) {
  using Load = UnitTraits<U>;
  using V = UnitVec<U>;
  constexpr int kBlock = kUnitsOfRow<U>, kRows = Tile<U>::kRows, kWidth = V::kWidth, kSteps = Load::kSteps;
  const int64_t k = left_stride<U>(units<U>(part.steps)) / kRows;
  for (int64_t first = 0; first < part.rows; first += kRows, out += stride) {
    for (int64_t i = 0; i < k; i += kWidth) {
      U* to = out + (i / kBlock * kRows) * kBlock + i % kBlock;
      const auto steps = static_cast<int>(max_of(0, min_of(kWidth * kSteps, part.steps - i * kSteps)));
      for (int g = 0; g < kRows; g += kWidth) {
        const int64_t row = first + g;
        const auto valid = static_cast<int>(max_of(0, min_of(kWidth, part.rows - row)));
        const T* from = part.x + row * part.row_stride + i * kSteps * part.k_stride;
        V block[kWidth];
        if (part.k_stride == 1) {
          for (int j = 0; j < kWidth; ++j) {
            block[j] = j >= valid                 ? V(0.0)
                       : steps == kWidth * kSteps ? Load::along_k(from + j * part.row_stride)
                                                  : Load::along_k(from + j * part.row_stride, steps);
          }
        } else if (part.row_stride == 1) {
          for (int j = 0; j < kWidth; ++j) {
            const int left = steps - j * kSteps;
            block[j] = valid > 0 && left > 0
                           ? Load::across(from + j * kSteps * part.k_stride, part.k_stride, left, valid)
                           : V(0.0);
          }
          transpose(block);
        } else {
          for (int r = 0; r < kWidth; ++r)
            for (int j = 0; j < kWidth; ++j) to[(g + r) * kBlock + j] = unit_at<U>(part, row + r, i + j);
          continue;
        }
        for (int j = 0; j < kWidth; ++j) put_units(block[j], to + (g + j) * kBlock);
      }
    }
  }
}

/// Packs a part of x (see part_of) into left panels, `stride` ≥ left_stride<U>(count) apart.
template <class U, class T>
void pack_left_panels(const Operand<T>& x, int64_t first, int64_t rows, int64_t unit, int64_t count, int64_t k, U* out,
                      int64_t stride) {
  if constexpr (kUnitsOfRow<U> == 1) {
    pack_panels<Tile<U>::kRows>(x, first, rows, unit, count, k, out, stride);
  } else {
    pack_blocks(part_of<U>(x, first, rows, unit, count, k), out, stride);
  }
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
