#include "engine/ops/copy.h"

#include "engine/cpu/strided.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

/// A conversion that rounds once.
template <class To, class From>
struct Convert {
  static To run(From x) { return static_cast<To>(x); }
};
template <class T>
struct Convert<T, T> {
  static T run(T x) { return x; }
};
template <class From>
struct Convert<bfloat16, From> {
  static bfloat16 run(From x) { return bfloat16::nearest(static_cast<double>(x)); }
};
template <>
struct Convert<bfloat16, bfloat16> {
  static bfloat16 run(bfloat16 x) { return x; }
};
template <>
struct Convert<bfloat16, float> {
  static bfloat16 run(float x) { return bfloat16(x); }
};

template <class T>
constexpr bool kIsNarrow = false;
template <>
constexpr bool kIsNarrow<float> = true;
template <>
constexpr bool kIsNarrow<bfloat16> = true;

/// y (+)= x over adjacent elements; a sum is rounded once.
template <class To, class From, bool accumulate>
void convert(const void* from, void* to, int64_t n) {
  const auto* x = static_cast<const From*>(from);
  auto* y = static_cast<To*>(to);
  if constexpr (kIsNarrow<To> && kIsNarrow<From>) {
    sweep<VecF>(
        n, [&](int64_t i, auto count) TESSERA_INLINE_BODY { put(load<VecF>(x + i, count), y + i, accumulate, count); });
  } else {
    for (int64_t i = 0; i < n; ++i) {
      if constexpr (!accumulate) {
        y[i] = Convert<To, From>::run(x[i]);
      } else if constexpr (is_floating(kDTypeOf<To>)) {
        y[i] = Convert<To, double>::run(static_cast<double>(y[i]) + static_cast<double>(x[i]));
      } else {
        y[i] = static_cast<To>(y[i] + x[i]);
      }
    }
  }
}

using Row = void (*)(const void*, void*, int64_t);

template <class To, class From>
Row row_of(bool accumulate) {
  return accumulate ? static_cast<Row>(convert<To, From, true>) : static_cast<Row>(convert<To, From, false>);
}
template <class To>
Row row_from(DType from, bool accumulate) {
  switch (from) {
    case DType::f32:
      return row_of<To, float>(accumulate);
    case DType::bf16:
      return row_of<To, bfloat16>(accumulate);
    case DType::f64:
      return row_of<To, double>(accumulate);
    case DType::i32:
      return row_of<To, int32_t>(accumulate);
    case DType::i64:
      return row_of<To, int64_t>(accumulate);
    case DType::u8:
      return row_of<To, uint8_t>(accumulate);
  }
  return nullptr;
}
Row choose_row(DType to, DType from, bool accumulate) {
  switch (to) {
    case DType::f32:
      return row_from<float>(from, accumulate);
    case DType::bf16:
      return row_from<bfloat16>(from, accumulate);
    case DType::f64:
      return row_from<double>(from, accumulate);
    case DType::i32:
      return row_of<int32_t, int32_t>(accumulate);
    case DType::i64:
      return row_of<int64_t, int64_t>(accumulate);
    case DType::u8:
      return row_of<uint8_t, uint8_t>(accumulate);
  }
  return nullptr;
}

void copy(Context& context, const CopyArgs& a) {
  const bool accumulate = a.mode == GradMode::accumulate;
  const StridedOperand operands[] = {{a.x, true, false}, {a.y, accumulate, true}};
  if (a.x.dtype == a.y.dtype && !accumulate) {
    const auto size = static_cast<int64_t>(size_of(a.x.dtype));
    for_each_run(context, operands,
                 [&](void* const* p, int64_t n) { __builtin_memcpy(p[1], p[0], static_cast<size_t>(n * size)); });
    return;
  }
  const Row row = choose_row(a.y.dtype, a.x.dtype, accumulate);
  for_each_run(context, operands, [&](void* const* p, int64_t n) { row(p[0], p[1], n); });
}

template <class T>
void fill_as(Context& context, const FillArgs& a) {
  const T value = Convert<T, double>::run(a.value);
  const StridedOperand operands[] = {{a.y, false, true}};
  for_each_run(context, operands, [&](void* const* p, int64_t n) {
    auto* y = static_cast<T*>(p[0]);
    if (a.value == 0 && !__builtin_signbit(a.value)) {
      __builtin_memset(p[0], 0, static_cast<size_t>(n) * sizeof(T));
    } else {
      for (int64_t i = 0; i < n; ++i) y[i] = value;
    }
  });
}

void fill(Context& context, const FillArgs& a) {
  switch (a.y.dtype) {
    case DType::f32:
      return fill_as<float>(context, a);
    case DType::bf16:
      return fill_as<bfloat16>(context, a);
    case DType::f64:
      return fill_as<double>(context, a);
    case DType::i32:
      return fill_as<int32_t>(context, a);
    case DType::i64:
      return fill_as<int64_t>(context, a);
    case DType::u8:
      return fill_as<uint8_t>(context, a);
  }
}

template <class T>
void add_diagonal_as(const AddDiagonalArgs& a) {
  using E = typename VecOf<T>::Type::Element;
  const int64_t step = a.y.stride(0) + a.y.stride(1);
  const auto value = static_cast<E>(a.value);
  auto* y = a.y.data<T>();
  for (int64_t i = 0; i < min_of(a.y.size(0), a.y.size(1)); ++i) {
    y[i * step] = Convert<T, E>::run(static_cast<E>(y[i * step]) + value);
  }
}

void add_diagonal(Context&, const AddDiagonalArgs& a) {
  by_type(a.y.dtype, [&](auto zero) { add_diagonal_as<decltype(zero)>(a); });
}

}  // namespace

extern const CopyKernels kCopyKernels;
const CopyKernels kCopyKernels{.copy = copy, .fill = fill, .add_diagonal = add_diagonal};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
