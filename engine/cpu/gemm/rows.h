#pragma once

// Small products on one thread, a block of rows at a time. Attention and the patch-sentence loss fuse several of them.
// Include inside the region of isa_begin.h.
#include "engine/cpu/gemm/pack.h"
#include "engine/cpu/gemm/tile.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

TESSERA_INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/// Packs rows [0, rows) of a right side, steps [k0, k0 + k): round_up(rows, kColumns) · k elements, 64-byte aligned.
template <class T>
void pack_right(const Operand<T>& b, int64_t rows, int64_t k0, int64_t k, Compute<T>* out) {
  constexpr int kColumns = Tile<Compute<T>>::kColumns;
  if (k > 0) pack_panels<kColumns>(b, 0, rows, k0, k, out, k * kColumns);
}

/// Elements of the left panels that multiply_rows needs for this number of rows and steps.
template <class E>
constexpr int64_t left_elements(int64_t rows, int64_t k) {
  constexpr int kRows = Tile<E>::kRows;
  return (rows + kRows - 1) / kRows * panel_stride<kRows, E>(k);
}

/// Products of rows [first, first + rows) of `a`, steps [0, k), with a packed right side of n rows. epilogue(row,
/// column, columns, sums) gets every piece, `columns` (≤ kColumns) finished sums of one row. `left` holds
/// left_elements(rows, k).
template <class T, class Epilogue>
void multiply_rows(const Operand<T>& a, int64_t first, int64_t rows, int64_t n, int64_t k, const Compute<T>* right,
                   Compute<T>* left, Epilogue&& epilogue) {
  using E = Compute<T>;
  constexpr int kRows = Tile<E>::kRows;
  constexpr int kColumns = Tile<E>::kColumns;
  const int64_t stride = panel_stride<kRows, E>(k);
  if (k > 0) pack_panels<kRows>(a, first, rows, 0, k, left, stride);
  alignas(64) E sums[kRows * kColumns];
  for (int64_t j = 0; j < n; j += kColumns) {
    const auto columns = static_cast<int>(min_of(kColumns, n - j));
    for (int64_t i = 0; i < rows; i += kRows) {
      const auto count = static_cast<int>(min_of(kRows, rows - i));
      micro_tile(k, left + i / kRows * stride, right + j * k, count, columns, sums, kColumns, false);
      for (int r = 0; r < count; ++r) epilogue(first + i + r, j, columns, sums + r * kColumns);
    }
  }
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
