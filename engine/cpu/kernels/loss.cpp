#include "engine/ops/loss.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/simd/softmax.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

/// Calls body(row) for each row of logits.
template <class Body>
void for_each_row(Context& context, const View& logits, const Body& body) {
  parallel_for(context, logits.size(0), max_of(1, kGrain / max_of(1, logits.size(1))),
               [&](int64_t begin, int64_t end, int) {
                 for (int64_t r = begin; r < end; ++r) body(r);
               });
}

/// Σ_j p_j (x_j − top): relative to the largest logit, so that the difference of large numbers is taken once.
template <class V>
TESSERA_INLINE typename V::Element expected_logit(const typename V::Element* p, const typename V::Element* x, int64_t n,
                                                  typename V::Element top) {
  V sums[4] = {V(0.0), V(0.0), V(0.0), V(0.0)};
  sweep4<V>(n, sums, [&](V& s, int64_t i, auto count) TESSERA_INLINE_BODY {
    s = fma(keep(load<V>(p + i, count), count), load<V>(x + i, count) - V(top), s);
  });
  return total(sums);
}

template <class E>
void cross_entropy_as(Context& context, const CrossEntropyArgs& a) {
  using V = typename VecOf<E>::Type;
  const int64_t n = a.logits.size(1);
  const bool labels = a.targets.dtype == DType::i32;
  for_each_row(context, a.logits, [&](int64_t r) {
    const E* x = a.logits.data<const E>() + r * n;
    const E top = row_max<V>(x, n, kBelowEveryLogit<E>);
    const E log_sum = log_of(sum_exp<V>(x, n, top));
    const E lse = top + log_sum;
    int64_t best = 0;
    while (best + 1 < n && !(x[best] == top)) ++best;
    a.lse.data<E>()[r] = lse;
    a.loss.data<E>()[r] = labels ? lse - x[a.targets.data<const int32_t>()[r]]
                                 : log_sum - expected_logit<V>(a.targets.data<const E>() + r * n, x, n, top);
    a.argmax.data<int32_t>()[r] = static_cast<int32_t>(best);
  });
}

void cross_entropy(Context& context, const CrossEntropyArgs& a) {
  a.logits.dtype == DType::f64 ? cross_entropy_as<double>(context, a) : cross_entropy_as<float>(context, a);
}

template <class E>
void cross_entropy_grad_as(Context& context, const CrossEntropyGradArgs& a) {
  using V = typename VecOf<E>::Type;
  const int64_t n = a.logits.size(1);
  const bool labels = a.targets.dtype == DType::i32;
  const E factor = static_cast<E>(a.factor) * a.dloss.data<const E>()[0];
  const bool accumulate = a.mode == GradMode::accumulate;
  for_each_row(context, a.logits, [&](int64_t r) {
    const E* x = a.logits.data<const E>() + r * n;
    const E* p = labels ? nullptr : a.targets.data<const E>() + r * n;
    E* dx = a.dlogits.data<E>() + r * n;
    const int64_t label = labels ? a.targets.data<const int32_t>()[r] : 0;
    const E before = accumulate ? dx[label] : E(0);
    const V lse(a.lse.data<const E>()[r]);
    sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
      V slope = exp(load<V>(x + i, count) - lse);
      if (p != nullptr) slope = slope - load<V>(p + i, count);
      put(V(factor) * slope, dx + i, accumulate, count);
    });
    if (!labels) return;
    E own[V::kWidth];
    (exp(V(x[label]) - lse) - V(1.0)).store(own);
    dx[label] = before + factor * own[0];
  });
}

void cross_entropy_grad(Context& context, const CrossEntropyGradArgs& a) {
  a.logits.dtype == DType::f64 ? cross_entropy_grad_as<double>(context, a) : cross_entropy_grad_as<float>(context, a);
}

}  // namespace

extern const LossKernels kLossKernels;
const LossKernels kLossKernels{.cross_entropy = cross_entropy, .cross_entropy_grad = cross_entropy_grad};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
