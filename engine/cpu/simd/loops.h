#pragma once

// Loops over rows of memory that touch nothing past the end, and sums in a fixed tree. Include inside the region of
// isa_begin.h.
#include "engine/cpu/simd/simd.h"

// Body of a loop, written as a lambda: [&](int64_t i, auto count) TESSERA_INLINE_BODY { … }
#define TESSERA_INLINE_BODY __attribute__((always_inline))

namespace tessera::cpu::TESSERA_ISA {

/// A task should have at least this many elements, so that a parallel region pays.
constexpr int64_t kGrain = 16384;
/// Blocks of the fixed trees.
constexpr int64_t kTreeRows = 256;
constexpr int64_t kTreeElements = 4096;

/// The result of f for a zero of the element type: f32, bf16, or f64 for all others.
template <class F>
auto by_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float(0));
    case DType::bf16:
      return f(bfloat16());
    default:
      return f(double(0));
  }
}

/// The count of a whole vector. Bodies of sweep() take `auto count`, which is Full in the loop and the number of lanes
/// at the end of the row.
struct Full {};

template <class V, class T>
TESSERA_INLINE V load(const T* p, Full) {
  return V::load(p);
}
template <class V, class T>
TESSERA_INLINE V load(const T* p, int n) {
  return V::load(p, n);
}
template <class V, class T>
TESSERA_INLINE void store(V v, T* p, Full) {
  v.store(p);
}
template <class V, class T>
TESSERA_INLINE void store(V v, T* p, int n) {
  v.store(p, n);
}
/// Sets the lanes past the end to zero. Needed for terms of a sum that are not zero when the loaded lanes are zero.
template <class V>
TESSERA_INLINE V keep(V v, Full) {
  return v;
}
template <class V>
TESSERA_INLINE V keep(V v, int n) {
  return select(V::first(n), v, V(0.0));
}

/// body(i, count) for i = 0, kWidth, … below n.
template <class V, class Body>
TESSERA_INLINE void sweep(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) body(i, Full{});
  if constexpr (V::kWidth > 1) {
    if (i < n) body(i, static_cast<int>(n - i));
  }
}

/// body(accumulator, i, count) with four accumulators one after the other, so that additions do not wait for each
/// other. The caller adds them as (0 + 1) + (2 + 3).
template <class V, class Accumulator, class Body>
TESSERA_INLINE void sweep4(int64_t n, Accumulator (&accumulators)[4], Body body) {
  constexpr int64_t kWidth = V::kWidth;
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    body(accumulators[0], i, Full{});
    body(accumulators[1], i + kWidth, Full{});
    body(accumulators[2], i + 2 * kWidth, Full{});
    body(accumulators[3], i + 3 * kWidth, Full{});
  }
  for (; i + kWidth <= n; i += kWidth) body(accumulators[0], i, Full{});
  if constexpr (kWidth > 1) {
    if (i < n) body(accumulators[1], i, static_cast<int>(n - i));
  }
}
template <class V>
TESSERA_INLINE auto total(const V (&a)[4]) {
  return sum((a[0] + a[1]) + (a[2] + a[3]));
}

/// Adds n partials pairwise, in place; 0 for none.
template <class E>
TESSERA_INLINE E tree_sum(E* partials, int64_t n) {
  if (n == 0) return E(0);
  while (n > 1) {
    const int64_t half = n / 2;
    for (int64_t i = 0; i < half; ++i) partials[i] = partials[2 * i] + partials[2 * i + 1];
    if (n % 2 != 0) partials[half] = partials[n - 1];
    n = half + n % 2;
  }
  return partials[0];
}

/// Adds n rows of partials pairwise, `stride` apart, in columns [begin, end). The sums end in row 0.
template <class V>
TESSERA_INLINE void tree_sum_rows(typename V::Element* partials, int64_t n, int64_t stride, int64_t begin,
                                  int64_t end) {
  using E = typename V::Element;
  while (n > 1) {
    const int64_t half = n / 2;
    for (int64_t i = 0; i < half + n % 2; ++i) {
      const E* a = partials + 2 * i * stride + begin;
      const E* b = a + stride;
      E* to = partials + i * stride + begin;
      const bool pair = i < half;
      sweep<V>(end - begin, [&](int64_t c, auto count) TESSERA_INLINE_BODY {
        V s = load<V>(a + c, count);
        if (pair) s += load<V>(b + c, count);
        store(s, to + c, count);
      });
    }
    n = half + n % 2;
  }
}

/// to[c] = Σ over `rows` rows of x, `stride` apart, c < columns: four rows at a time, in ascending order.
template <class V, class T>
TESSERA_INLINE void sum_row_block(const T* x, int64_t stride, int64_t rows, int64_t columns, typename V::Element* to) {
  sweep<V>(columns, [&](int64_t c, auto count) TESSERA_INLINE_BODY { store(V(0.0), to + c, count); });
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const T* p = x + r * stride;
    sweep<V>(columns, [&](int64_t c, auto count) TESSERA_INLINE_BODY {
      const V low = load<V>(p + c, count) + load<V>(p + stride + c, count);
      const V high = load<V>(p + 2 * stride + c, count) + load<V>(p + 3 * stride + c, count);
      store(load<V>(to + c, count) + (low + high), to + c, count);
    });
  }
  for (; r < rows; ++r) {
    const T* p = x + r * stride;
    sweep<V>(columns, [&](int64_t c, auto count) TESSERA_INLINE_BODY {
      store(load<V>(to + c, count) + load<V>(p + c, count), to + c, count);
    });
  }
}

/// y (+)= v.
template <class V, class T>
TESSERA_INLINE void put(V v, T* y, bool accumulate, Full count) {
  store(accumulate ? load<V>(y, count) + v : v, y, count);
}
template <class V, class T>
TESSERA_INLINE void put(V v, T* y, bool accumulate, int count) {
  store(accumulate ? load<V>(y, count) + v : v, y, count);
}

}  // namespace tessera::cpu::TESSERA_ISA
