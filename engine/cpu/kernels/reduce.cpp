#include "engine/ops/reduce.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

int64_t blocks_of(int64_t n, int64_t block) { return (n + block - 1) / block; }

template <class V, class T>
typename V::Element block_sum(const T* x, const T* w, int64_t n) {
  V acc[4] = {V(0.0), V(0.0), V(0.0), V(0.0)};
  if (w == nullptr) {
    sweep4<V>(n, acc, [&](V& s, int64_t i, auto count) TESSERA_INLINE_BODY { s += load<V>(x + i, count); });
  } else {
    sweep4<V>(n, acc, [&](V& s, int64_t i, auto count) TESSERA_INLINE_BODY {
      s = fma(load<V>(x + i, count), load<V>(w + i, count), s);
    });
  }
  return total(acc);
}

template <class T>
void sum_as(Context& context, const SumArgs& a) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const int64_t n = a.x.numel();
  const auto* x = a.x.data<const T>();
  const auto* w = a.w.data<const T>();
  const int64_t blocks = blocks_of(n, kTreeElements);
  const Scratch scratch(context, static_cast<size_t>(blocks) * sizeof(E));
  E* partials = scratch.as<E>();
  parallel_for(context, blocks, 2 * kGrain / kTreeElements, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kTreeElements;
      partials[b] = block_sum<V>(x + first, w == nullptr ? w : w + first, min_of(kTreeElements, n - first));
    }
  });
  E* y = a.y.data<E>();
  const E result = static_cast<E>(a.alpha) * tree_sum(partials, blocks);
  *y = a.mode == GradMode::accumulate ? *y + result : result;
}

void sum_all(Context& context, const SumArgs& a) {
  by_type(a.x.dtype, [&](auto zero) { sum_as<decltype(zero)>(context, a); });
}

/// Rows per task, so that a task has about kGrain elements.
int64_t segment_grain(const Segments& s, int64_t columns) {
  const int64_t mean = s.rows() / max_of(1, s.count);
  return max_of(1, kGrain / max_of(1, mean * columns));
}

template <class T>
void segment_mean_as(Context& context, const SegmentMeanArgs& a) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const int64_t columns = a.x.size(1);
  const auto* x = a.x.data<const T>();
  auto* y = a.y.data<T>();
  const int64_t per_thread = max_of(1, blocks_of(a.segments.max_len, kTreeRows)) * columns;
  const Scratch scratch(context,
                        static_cast<size_t>(per_thread) * static_cast<size_t>(threads(context).threads()) * sizeof(E));
  const int64_t grain = segment_grain(a.segments, columns);
  parallel_for(context, a.segments.count, grain, [&](int64_t begin, int64_t end, int thread) {
    E* partials = scratch.as<E>() + thread * per_thread;
    for (int64_t s = begin; s < end; ++s) {
      const int64_t first = a.segments.begin(s) + a.skip;
      const int64_t rows = max_of(0, a.segments.end(s) - first);
      const int64_t blocks = max_of(1, blocks_of(rows, kTreeRows));
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t row = b * kTreeRows;
        sum_row_block<V>(x + (first + row) * columns, columns, min_of(kTreeRows, rows - row), columns,
                         partials + b * columns);
      }
      tree_sum_rows<V>(partials, blocks, columns, 0, columns);
      const V factor(1.0 / static_cast<double>(max_of(1, rows)));
      sweep<V>(columns, [&](int64_t c, auto count) TESSERA_INLINE_BODY {
        store(load<V>(partials + c, count) * factor, y + s * columns + c, count);
      });
    }
  });
}

void segment_mean(Context& context, const SegmentMeanArgs& a) {
  by_type(a.x.dtype, [&](auto zero) { segment_mean_as<decltype(zero)>(context, a); });
}

template <class T>
void segment_mean_grad_as(Context& context, const SegmentMeanGradArgs& a) {
  using V = typename VecOf<T>::Type;
  const int64_t columns = a.dx.size(1);
  const auto* dy = a.dy.data<const T>();
  auto* dx = a.dx.data<T>();
  const bool accumulate = a.mode == GradMode::accumulate;
  const int64_t grain = segment_grain(a.segments, columns);
  parallel_for(context, a.segments.count, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t s = begin; s < end; ++s) {
      const int64_t first = min_of(a.segments.begin(s) + a.skip, a.segments.end(s));
      const V factor(1.0 / static_cast<double>(max_of(1, a.segments.end(s) - first)));
      if (!accumulate) {
        const int64_t skipped = first - a.segments.begin(s);
        __builtin_memset(static_cast<void*>(dx + a.segments.begin(s) * columns), 0,
                         static_cast<size_t>(skipped * columns) * sizeof(T));
      }
      for (int64_t r = first; r < a.segments.end(s); ++r) {
        sweep<V>(columns, [&](int64_t c, auto count) TESSERA_INLINE_BODY {
          put(load<V>(dy + s * columns + c, count) * factor, dx + r * columns + c, accumulate, count);
        });
      }
    }
  });
}

void segment_mean_grad(Context& context, const SegmentMeanGradArgs& a) {
  by_type(a.dx.dtype, [&](auto zero) { segment_mean_grad_as<decltype(zero)>(context, a); });
}

}  // namespace

extern const ReduceKernels kReduceKernels;
const ReduceKernels kReduceKernels{
    .sum = sum_all, .segment_mean = segment_mean, .segment_mean_grad = segment_mean_grad};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
