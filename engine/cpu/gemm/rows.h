#pragma once

// Small products on one thread, a block of rows at a time. Attention and the patch-sentence loss fuse several of them.
// Include inside the region of isa_begin.h.
#include "engine/cpu/gemm/left.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

TESSERA_INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/// Packs rows [0, rows) of a right side, steps [k0, k0 + k): round_up(rows, kColumns) · units(k) units, 64-byte
/// aligned.
template <class U, class T>
void pack_right(const Operand<T>& b, int64_t rows, int64_t k0, int64_t k, U* out) {
  constexpr int kColumns = Tile<U>::kColumns;
  const Operand<T> from{b.data + k0 * b.k_stride, b.row_stride, b.k_stride};
  if (k > 0) pack_panels<kColumns>(from, 0, rows, 0, units<U>(k), k, out, units<U>(k) * kColumns);
}

/// Units of the left panels that multiply_rows needs for this number of rows and steps.
template <class U>
constexpr int64_t left_elements(int64_t rows, int64_t k) {
  constexpr int kRows = Tile<U>::kRows;
  return (rows + kRows - 1) / kRows * left_stride<U>(units<U>(k));
}

/// Products of rows [first, first + rows) of `a`, steps [0, k), with a packed right side of n rows. epilogue(row,
/// column, columns, sums) gets every piece, `columns` (≤ kColumns) finished sums of one row. `left` holds
/// left_elements(rows, k).
template <class U, class T, class Epilogue>
void multiply_rows(const Operand<T>& a, int64_t first, int64_t rows, int64_t n, int64_t k, const U* right, U* left,
                   Epilogue&& epilogue) {
  constexpr int kRows = Tile<U>::kRows;
  constexpr int kColumns = Tile<U>::kColumns;
  const int64_t depth = units<U>(k);
  const int64_t stride = left_stride<U>(depth);
  if (k > 0) pack_left_panels(a, first, rows, 0, depth, k, left, stride);
  alignas(64) Sum<U> sums[kRows * kColumns];
  for (int64_t j = 0; j < n; j += kColumns) {
    const auto columns = static_cast<int>(min_of(kColumns, n - j));
    for (int64_t i = 0; i < rows; i += kRows) {
      const auto count = static_cast<int>(min_of(kRows, rows - i));
      micro_tile(depth, left + i / kRows * stride, right + j * depth, count, columns, sums, kColumns, false);
      for (int r = 0; r < count; ++r) epilogue(first + i + r, j, columns, sums + r * kColumns);
    }
  }
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
