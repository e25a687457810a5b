#pragma once

// The register tile of the matrix product. Include inside the region of isa_begin.h.
#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA {

/// Rows × columns of a register tile: columns are two vectors, rows as many as leave registers for one step's operands.
/// AVX-512 has 32 registers: 28 sums, two vectors of B, one broadcast. AVX2 and the portable build have 16.
template <class V>
struct TileShape {
  static constexpr int kCols = 2 * V::kWidth;
#if defined(TESSERA_ISA_AVX512)
  static constexpr int kRows = 14;
#elif defined(TESSERA_ISA_AVX2)
  static constexpr int kRows = 6;
#else
  static constexpr int kRows = 4;
#endif
};

/// out [R][kCols] = Σ_k a[k][row] · b[k][col]. a advances by kRows elements a step, b by kCols; both are panels as panel.h
/// makes them. Every sum runs over k in ascending order whatever R is, so a row's bits do not depend on its tile.
template <class V, int R, class B>
TESSERA_INLINE void tile_rows(int64_t depth, const typename V::Element* a, const B* b, typename V::Element* out) {
  constexpr int kRows = TileShape<V>::kRows;
  constexpr int kCols = TileShape<V>::kCols;
  V left[R];
  V right[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) left[r] = right[r] = V(0.0);
  for (int64_t k = 0; k < depth; ++k) {
    __builtin_prefetch(b + 8 * kCols);
    __builtin_prefetch(b + 8 * kCols + V::kWidth);
    const V b0 = V::load(b);
    const V b1 = V::load(b + V::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const V x(a[r]);
      left[r] = fma(x, b0, left[r]);
      right[r] = fma(x, b1, right[r]);
    }
    a += kRows;
    b += kCols;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    left[r].store(out + r * kCols);
    right[r].store(out + r * kCols + V::kWidth);
  }
}

/// tile_rows for a number of rows known at run time, 1 … kRows.
template <class V, class B, int R = TileShape<V>::kRows>
inline void tile(int rows, int64_t depth, const typename V::Element* a, const B* b, typename V::Element* out) {
  if constexpr (R > 1) {
    if (rows < R) return tile<V, B, R - 1>(rows, depth, a, b, out);
  }
  tile_rows<V, R, B>(depth, a, b, out);
}

}  // namespace tessera::cpu::TESSERA_ISA
