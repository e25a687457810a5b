#pragma once

// Sums over the rows of every column, in a fixed tree. Include inside the region of isa_begin.h, and
// engine/runtime/context.h before it.
#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA {

/// The number of blocks of the tree over `rows` rows, at least 1.
inline int64_t tree_blocks(int64_t rows) { return max_of(1, (rows + kTreeRows - 1) / kTreeRows); }

/// K sums over the rows of every column, block by block: partials [tree_blocks(rows)][K][columns]. terms(row, column,
/// count, t) puts the K terms of `count` elements into t. With null partials no sum is kept, and terms runs for its
/// side effects alone.
template <class V, int K, class Terms>
void sum_blocks(Context& context, int64_t rows, int64_t columns, typename V::Element* partials, const Terms& terms) {
  using E = typename V::Element;
  constexpr int64_t kStripColumns = 2048;  // a strip of partial sums stays in the L1 cache
  const int64_t strips = (columns + kStripColumns - 1) / kStripColumns;
  const int64_t task_elements = max_of(1, min_of(rows, kTreeRows) * min_of(columns, kStripColumns));
  parallel_for(context, tree_blocks(rows) * strips, max_of(1, kGrain / task_elements),
               [&](int64_t begin, int64_t end, int) {
                 for (int64_t task = begin; task < end; ++task) {
                   const int64_t block = task / strips;
                   const int64_t first = task % strips * kStripColumns;
                   const int64_t n = min_of(kStripColumns, columns - first);
                   E* to = partials == nullptr ? nullptr : partials + block * K * columns + first;
                   for (int k = 0; to != nullptr && k < K; ++k) {
                     __builtin_memset(to + k * columns, 0, static_cast<size_t>(n) * sizeof(E));
                   }
                   const int64_t last = min_of(rows, (block + 1) * kTreeRows);
                   for (int64_t r = block * kTreeRows; r < last; ++r) {
                     sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
                       V t[K];
                       terms(r, first + i, count, t);
                       for (int k = 0; to != nullptr && k < K; ++k) {
                         E* sum = to + k * columns + i;
                         store(load<V>(sum, count) + t[k], sum, count);
                       }
                     });
                   }
                 }
               });
}

/// Adds `count` rows of partials, `stride` apart, pairwise: the sums end in the first row and, where `out` is present,
/// are stored there or added to it. With count 0 the sums are zero.
template <class V>
void finish_sums(Context& context, typename V::Element* partials, int64_t count, int64_t stride, int64_t columns,
                 const View& out, GradMode mode) {
  using E = typename V::Element;
  parallel_for(context, columns, max_of(64, kGrain / max_of(1, count)), [&](int64_t begin, int64_t end, int) {
    tree_sum_rows<V>(partials, count, stride, begin, end);
    if (!out) return;
    E* y = out.data<E>() + begin;
    sweep<V>(end - begin, [&](int64_t i, auto lanes) TESSERA_INLINE_BODY {
      put(count == 0 ? V(0.0) : load<V>(partials + begin + i, lanes), y + i, mode == GradMode::accumulate, lanes);
    });
  });
}

}  // namespace tessera::cpu::TESSERA_ISA
