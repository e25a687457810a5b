#include "engine/ops/rows.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

template <class A, class B>
constexpr bool kEqual = false;
template <class A>
constexpr bool kEqual<A, A> = true;

/// y = x + table for one row; a null operand counts as zeros.
template <class T, class Y>
TESSERA_INLINE void gather_row(const T* x, const T* table, Y* y, int64_t n) {
  using V = typename VecOf<T>::Type;
  if (x == nullptr) {
    x = table;
    table = nullptr;
  }
  if (x == nullptr) {
    __builtin_memset(static_cast<void*>(y), 0, static_cast<size_t>(n) * sizeof(Y));
  } else if (table != nullptr) {
    sweep<V>(n, [&](int64_t i, auto count)
                    TESSERA_INLINE_BODY { store(load<V>(x + i, count) + load<V>(table + i, count), y + i, count); });
  } else if constexpr (kEqual<T, Y>) {
    __builtin_memcpy(static_cast<void*>(y), x, static_cast<size_t>(n) * sizeof(T));
  } else {
    sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY { store(load<V>(x + i, count), y + i, count); });
  }
}

template <class T, class Y>
void gather_as(Context& context, const GatherRowsArgs& a) {
  const int64_t n = a.y.size(1);
  const auto* index = a.index.data<const int32_t>();
  const auto* table_index = a.table_index.data<const int32_t>();
  const auto* source = a.x.data<const T>();
  const auto* table = a.table.data<const T>();
  const auto* fill = a.fill.data<const T>();
  parallel_for(context, a.y.size(0), max_of(1, kGrain / max_of(1, n)), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t from = index == nullptr ? r : index[r];
      const T* x = from < 0 ? fill : source + from * n;
      const bool has_table = table != nullptr && table_index[r] >= 0;
      gather_row(x, has_table ? table + table_index[r] * n : nullptr, a.y.data<Y>() + r * n, n);
    }
  });
}

void gather(Context& context, const GatherRowsArgs& a) {
  const bool narrow = a.y.dtype == DType::bf16;
  switch (a.x.dtype) {
    case DType::f32:
      return narrow ? gather_as<float, bfloat16>(context, a) : gather_as<float, float>(context, a);
    case DType::bf16:
      return narrow ? gather_as<bfloat16, bfloat16>(context, a) : gather_as<bfloat16, float>(context, a);
    default:
      return gather_as<double, double>(context, a);
  }
}

constexpr int64_t kStripColumns = 1024;

/// Adds rows order[0], …, order[count − 1] of dy into one row of dx, in columns [begin, end).
template <class T, class X>
TESSERA_INLINE void scatter_row(const T* dy, const int32_t* order, int64_t count, int64_t n, int64_t begin, int64_t end,
                                X* dx, bool accumulate) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  if (count == 1) {
    const T* from = dy + order[0] * n;
    sweep<V>(end - begin, [&](int64_t i, auto lanes) TESSERA_INLINE_BODY {
      put(load<V>(from + begin + i, lanes), dx + begin + i, accumulate, lanes);
    });
    return;
  }
  E sums[kStripColumns];
  for (int64_t strip = begin; strip < end; strip += kStripColumns) {
    const int64_t width = min_of(kStripColumns, end - strip);
    X* to = dx + strip;
    sweep<V>(width, [&](int64_t i, auto lanes)
                        TESSERA_INLINE_BODY { store(accumulate ? load<V>(to + i, lanes) : V(0.0), sums + i, lanes); });
    for (int64_t k = 0; k < count; ++k) {
      const T* from = dy + order[k] * n + strip;
      sweep<V>(width, [&](int64_t i, auto lanes) TESSERA_INLINE_BODY {
        store(load<V>(sums + i, lanes) + load<V>(from + i, lanes), sums + i, lanes);
      });
    }
    sweep<V>(width, [&](int64_t i, auto lanes) TESSERA_INLINE_BODY { store(load<V>(sums + i, lanes), to + i, lanes); });
  }
}

/// First position in `order` whose entry of index is at least `row`.
int64_t lower_bound(const int32_t* index, const int32_t* order, int64_t count, int64_t row) {
  int64_t low = 0;
  int64_t high = count;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (index[order[middle]] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <class T, class X>
void scatter_block(const ScatterAddRowsArgs& a, int64_t row, int64_t last_row, int64_t begin, int64_t end) {
  const int64_t n = a.dx.size(1);
  const int64_t count = a.index.numel();
  const auto* index = a.index.data<const int32_t>();
  const auto* order = a.order.data<const int32_t>();
  auto* dx = a.dx.data<X>();
  const bool accumulate = a.mode == GradMode::accumulate;
  const auto zero_rows = [&](int64_t from, int64_t to) {
    if (accumulate || from >= to) return;
    const bool whole = begin == 0 && end == n;
    const int64_t runs = whole ? 1 : to - from;
    const int64_t length = whole ? (to - from) * n : end - begin;
    for (int64_t i = 0; i < runs; ++i) {
      __builtin_memset(static_cast<void*>(dx + (from + i) * n + begin), 0, static_cast<size_t>(length) * sizeof(X));
    }
  };
  int64_t at = lower_bound(index, order, count, row);
  while (at < count && index[order[at]] < last_row) {
    const int64_t named = index[order[at]];
    int64_t next = at + 1;
    while (next < count && index[order[next]] == named) ++next;
    zero_rows(row, named);
    scatter_row(a.dy.data<const T>(), order + at, next - at, n, begin, end, dx + named * n, accumulate);
    row = named + 1;
    at = next;
  }
  zero_rows(row, last_row);
}

/// A task owns rows of dx. Where these are few and dy is large (a token that many rows share), it owns a range of their
/// columns. Each element is the same ordered sum either way.
template <class T, class X>
void scatter_as(Context& context, const ScatterAddRowsArgs& a) {
  constexpr int64_t kColumns = 128;
  const int64_t rows = a.dx.size(0);
  const int64_t n = a.dx.size(1);
  if (n == 0) return;
  const int64_t count = a.index.numel();
  const bool few_rows = rows < 8 && count * n >= 4 * kGrain;
  const int64_t width = few_rows ? kColumns : n;
  const int64_t strips = (n + width - 1) / width;
  const int64_t per_row = max_of(1, count / max_of(1, rows)) * width;
  parallel_for(context, rows * strips, max_of(1, kGrain / per_row), [&](int64_t begin, int64_t end, int) {
    if (strips == 1) {
      scatter_block<T, X>(a, begin, end, 0, n);
      return;
    }
    for (int64_t task = begin; task < end; ++task) {
      const int64_t column = task % strips * width;
      scatter_block<T, X>(a, task / strips, task / strips + 1, column, min_of(n, column + width));
    }
  });
}

void scatter_add(Context& context, const ScatterAddRowsArgs& a) {
  const bool narrow = a.dx.dtype == DType::bf16;
  switch (a.dy.dtype) {
    case DType::f32:
      return narrow ? scatter_as<float, bfloat16>(context, a) : scatter_as<float, float>(context, a);
    case DType::bf16:
      return narrow ? scatter_as<bfloat16, bfloat16>(context, a) : scatter_as<bfloat16, float>(context, a);
    default:
      return scatter_as<double, double>(context, a);
  }
}

}  // namespace

extern const RowKernels kRowKernels;
const RowKernels kRowKernels{.gather = gather, .scatter_add = scatter_add};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
