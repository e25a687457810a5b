#pragma once

// Parts of softmax and log-sum-exp over a row. Include inside the region of isa_begin.h.
#include "engine/cpu/simd/loops.h"
#include "engine/cpu/simd/math.h"

namespace tessera::cpu::TESSERA_ISA {

/// Below every logit, yet finite: differences with it stay numbers.
template <class E>
constexpr E kBelowEveryLogit = static_cast<E>(-1e30);

template <class E>
TESSERA_INLINE E log_of(E x) {
  return static_cast<E>(__builtin_log(static_cast<double>(x)));
}
template <class E>
TESSERA_INLINE E exp_of(E x) {
  return static_cast<E>(__builtin_exp(static_cast<double>(x)));
}

/// The largest of x[0] … x[n − 1] and `least`.
template <class V>
TESSERA_INLINE typename V::Element row_max(const typename V::Element* x, int64_t n, typename V::Element least) {
  V top(least);
  sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
    V v = load<V>(x + i, count);
    if constexpr (!__is_same(decltype(count), Full)) v = select(V::first(count), v, V(least));
    top = max(top, v);
  });
  return max_lane(top);
}

/// Σ exp(x_i − top).
template <class V>
TESSERA_INLINE typename V::Element sum_exp(const typename V::Element* x, int64_t n, typename V::Element top) {
  V sums[4] = {V(0.0), V(0.0), V(0.0), V(0.0)};
  sweep4<V>(n, sums, [&](V& s, int64_t i, auto count) TESSERA_INLINE_BODY {
    s += keep(exp(load<V>(x + i, count) - V(top)), count);
  });
  return total(sums);
}

}  // namespace tessera::cpu::TESSERA_ISA
