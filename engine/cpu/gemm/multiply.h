#pragma once

// The macro loop of every matrix product. Include inside the region of isa_begin.h.
#include "engine/cpu/gemm/panel.h"
#include "engine/runtime/context.h"

namespace tessera::cpu::TESSERA_ISA {

/// Splits of a product: they depend on its shape alone, never on the number of threads.
struct Blocking {
  int64_t row_block;   // rows that one task packs and multiplies: its panels stay in the second-level cache
  int64_t depth;       // of one pass over k
};

template <class V>
TESSERA_INLINE Blocking blocking_of(int64_t m, int64_t k, int64_t depth_limit) {
  constexpr int64_t kRows = TileShape<V>::kRows;
  constexpr int64_t kMostRows = 8 * kRows;
  // An even number of blocks of about equal size keeps two threads busy to the end.
  const int64_t blocks = (m + 2 * kMostRows - 1) / (2 * kMostRows) * 2;
  const int64_t rows = (m + blocks - 1) / max_of(blocks, 1);
  const int64_t passes = max_of(1, (k + depth_limit - 1) / depth_limit);
  return {max_of(kRows, (rows + kRows - 1) / kRows * kRows), max_of(1, (k + passes - 1) / passes)};
}

/// Elements of a whole packed right factor: panels of kCols lines over the full depth.
template <class V>
TESSERA_INLINE int64_t packed_elements(int64_t n, int64_t k) {
  constexpr int64_t kCols = TileShape<V>::kCols;
  return (n + kCols - 1) / kCols * kCols * k;
}

/// Packs lines [0, n) of the right factor, depth [k0, k0 + depth), panel after panel.
template <class V, class T, class Out>
void pack_right(Context& context, const Factor<T>& b, int64_t n, int64_t k0, int64_t depth, Out* out) {
  constexpr int64_t kCols = TileShape<V>::kCols;
  const int64_t panels = (n + kCols - 1) / kCols;
  context.parallel_for(panels, max_of(1, kGrain / max_of(1, kCols * depth)), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      pack_panel<V>(b, p * kCols, min_of(kCols, n - p * kCols), k0, depth, kCols, out + p * kCols * depth);
    }
  });
}

/// Multiplies packed rows with a packed right factor and hands every finished piece to
/// epilogue(row, column, columns, sums): `columns` (≤ kCols) sums of one row.
template <class V, class A, class B, class Epilogue>
void multiply_rows(const Factor<A>& a, int64_t first, int64_t rows, int64_t n, int64_t k0, int64_t depth, const B* right,
                   typename V::Element* panels, Epilogue&& epilogue) {
  using E = typename V::Element;
  constexpr int64_t kRows = TileShape<V>::kRows;
  constexpr int64_t kCols = TileShape<V>::kCols;
  for (int64_t i = 0; i < rows; i += kRows) {
    pack_panel<V>(a, first + i, min_of(kRows, rows - i), k0, depth, kRows, panels + i * depth);
  }
  alignas(64) E sums[kRows * kCols];
  for (int64_t j = 0; j < n; j += kCols) {
    const auto columns = static_cast<int>(min_of(kCols, n - j));
    for (int64_t i = 0; i < rows; i += kRows) {
      const auto count = static_cast<int>(min_of(kRows, rows - i));
      tile<V>(count, depth, panels + i * depth, right + j * depth, sums);
      for (int r = 0; r < count; ++r) epilogue(first + i + r, j, columns, sums + r * kCols);
    }
  }
}

/// Sums [m, n] of a [m, k] and the packed right factor, in one pass over k.
/// epilogue(block, row, column, columns, sums) runs on the thread that owns the row block; blocks are numbered.
template <class V, class A, class B, class Epilogue>
void multiply_packed(Context& context, const Factor<A>& a, const B* right, int64_t m, int64_t n, int64_t k,
                     int64_t row_block, Epilogue&& epilogue) {
  using E = typename V::Element;
  const auto panel_bytes = static_cast<size_t>(row_block * max_of(k, 1)) * sizeof(E);
  const Scratch scratch(context, panel_bytes * static_cast<size_t>(context.threads().threads()));
  context.parallel_for(m, row_block, [&](int64_t begin, int64_t end, int thread) {
    const int64_t block = begin / row_block;
    multiply_rows<V>(a, begin, end - begin, n, 0, k, right, scratch.as<E>() + thread * row_block * max_of(k, 1),
                     [&](int64_t row, int64_t column, int columns, const E* sums)
                         TESSERA_INLINE_BODY { epilogue(block, row, column, columns, sums); });
  });
}

/// c [m, n] (row stride `c_stride`, dense columns) = alpha · a b, or += . Long sums are cut into passes over k, each added
/// to c in turn.
template <class V, class A, class B>
void multiply_into(Context& context, const Factor<A>& a, const Factor<B>& b, int64_t m, int64_t n, int64_t k,
                   typename V::Element* c, int64_t c_stride, typename V::Element alpha, bool accumulate) {
  using E = typename V::Element;
  constexpr int64_t kDepth = 768;
  if (m == 0 || n == 0) return;
  const Blocking blocking = blocking_of<V>(m, k, kDepth);
  const Scratch right(context, static_cast<size_t>(packed_elements<V>(n, blocking.depth)) * sizeof(E));
  const int64_t panel = blocking.row_block * blocking.depth;
  const Scratch left(context, static_cast<size_t>(panel * context.threads().threads()) * sizeof(E));
  const V scale(alpha);
  for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += blocking.depth) {
    const int64_t depth = min_of(blocking.depth, k - k0);
    pack_right<V>(context, b, n, k0, depth, right.as<E>());
    const bool add = accumulate || k0 > 0;
    context.parallel_for(m, blocking.row_block, [&](int64_t begin, int64_t end, int thread) {
      multiply_rows<V>(a, begin, end - begin, n, k0, depth, right.as<const E>(), left.as<E>() + thread * panel,
                       [&](int64_t row, int64_t column, int columns, const E* sums) TESSERA_INLINE_BODY {
                         E* to = c + row * c_stride + column;
                         sweep<V>(columns, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
                           put(scale * V::load(sums + i), to + i, add, count);
                         });
                       });
    });
  }
}

}  // namespace tessera::cpu::TESSERA_ISA
