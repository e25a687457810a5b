#pragma once

// What panels of a product hold. Include inside the region of isa_begin.h.
//
// A unit is one step of k: a float or a double. In tables whose processor multiplies pairs of bf16, a unit of a bf16
// product is a pair of adjacent steps, so that panels of all types have 32 or 64 bits a unit and share their code.
#include "engine/cpu/simd/bf16_pairs.h"
#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

/// One side of a product: element (row, k) is data[row * row_stride + k * k_stride]. For the left side `row` counts
/// rows of the result, for the right side its columns. Both products x W^T and dy W, dy^T x are views of this kind.
template <class T>
struct Operand {
  const T* data = nullptr;
  int64_t row_stride = 0;
  int64_t k_stride = 0;
};

/// The type that elements T are summed in: float for float and bfloat16, double for double.
template <class T>
using Compute = typename VecOf<T>::Type::Element;

/// Steps 2 i and 2 i + 1. After an odd last step comes a zero.
struct Pair {
  bfloat16 first, second;
};

template <class T>
struct UnitOf {
  using Type = Compute<T>;
};
#if defined(TESSERA_BF16_PAIRS) || defined(TESSERA_BF16_TILES)
template <>
struct UnitOf<bfloat16> {
  using Type = Pair;
};
#endif
template <class T>
using Unit = typename UnitOf<T>::Type;

/// Steps of k in a unit, the type that its products are summed in, and its vectors: kWidth units.
template <class U>
struct UnitTraits {
  static constexpr int kSteps = 1;
  using Sum = U;
  using V = typename VecOf<U>::Type;

  template <class T>
  static TESSERA_INLINE V along_k(const T* p) {
    return V::load(p);
  }
  template <class T>
  static TESSERA_INLINE V along_k(const T* p, int steps) {
    return V::load(p, steps);
  }
  template <class T>
  static TESSERA_INLINE V across(const T* p, int64_t, int, int lanes) {
    return lanes >= V::kWidth ? V::load(p) : V::load(p, lanes);
  }
};
template <>
struct UnitTraits<Pair> {
  static constexpr int kSteps = 2;
  using Sum = float;
  using V = VecF;

  /// Units from adjacent steps: kWidth of them, or as many as `steps` steps fill, and zeros.
  static TESSERA_INLINE V along_k(const bfloat16* p) {
    float bits[V::kWidth];
    __builtin_memcpy(bits, p, sizeof(bits));
    return V::load(bits);
  }
  static TESSERA_INLINE V along_k(const float* p) { return pairs_in_order(V::load(p), V::load(p + V::kWidth)); }
  template <class T>
  static TESSERA_INLINE V along_k(const T* p, int steps) {
    const int low = steps < V::kWidth ? steps : V::kWidth;
    return pairs_in_order(V::load(p, low), low < V::kWidth ? V(0.0) : V::load(p + V::kWidth, steps - low));
  }
  /// One unit for each of `lanes` adjacent rows; its steps are k_stride apart and may be only one.
  static TESSERA_INLINE V across(const bfloat16* p, int64_t k_stride, int steps, int lanes) {
    if (lanes >= V::kWidth) return pairs_of_exact(V::load(p), steps > 1 ? V::load(p + k_stride) : V(0.0));
    return pairs_of_exact(V::load(p, lanes), steps > 1 ? V::load(p + k_stride, lanes) : V(0.0));
  }
  static TESSERA_INLINE V across(const float* p, int64_t k_stride, int steps, int lanes) {
    const int n = lanes < V::kWidth ? lanes : V::kWidth;
    return pairs_of(V::load(p, n), steps > 1 ? V::load(p + k_stride, n) : V(0.0));
  }
};
template <class U>
using Sum = typename UnitTraits<U>::Sum;
template <class U>
using UnitVec = typename UnitTraits<U>::V;

template <class U>
TESSERA_INLINE void put_units(UnitVec<U> v, U* to) {
  v.store(reinterpret_cast<Sum<U>*>(to));
}

/// Units of k steps.
template <class U>
constexpr int64_t units(int64_t k) {
  return (k + UnitTraits<U>::kSteps - 1) / UnitTraits<U>::kSteps;
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
