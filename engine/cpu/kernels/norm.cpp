#include "engine/ops/norm.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/simd/column_sums.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

int64_t row_grain(int64_t columns) { return max_of(1, kGrain / max_of(1, columns)); }

/// Mean and biased variance of a row, in two passes.
template <class V>
TESSERA_INLINE typename V::Element row_variance(const typename V::Element* x, int64_t n, typename V::Element& mean) {
  using E = typename V::Element;
  V acc[4] = {V(0.0), V(0.0), V(0.0), V(0.0)};
  sweep4<V>(n, acc, [&](V& s, int64_t i, auto count) TESSERA_INLINE_BODY { s += load<V>(x + i, count); });
  mean = total(acc) / static_cast<E>(n);  // divided, so that a constant row has variance 0
  const V m(mean);
  for (V& s : acc) s = V(0.0);
  sweep4<V>(n, acc, [&](V& s, int64_t i, auto count) TESSERA_INLINE_BODY {
    const V d = keep(load<V>(x + i, count) - m, count);
    s = fma(d, d, s);
  });
  return total(acc) / static_cast<E>(n);
}

template <class Y>
void layer_norm_as(Context& context, const LayerNormArgs& a) {
  using V = typename VecOf<Y>::Type;
  using E = typename V::Element;
  const int64_t n = a.x.size(1);
  const auto* gamma = a.gamma.data<const E>();
  const auto* beta = a.beta.data<const E>();
  parallel_for(context, a.x.size(0), row_grain(n), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const E* x = a.x.data<const E>() + r * n;
      Y* y = a.y.data<Y>() + r * n;
      E mean = 0;
      const E variance = n == 0 ? E(0) : row_variance<V>(x, n, mean);
      const auto rstd = static_cast<E>(1.0 / __builtin_sqrt(static_cast<double>(variance) + a.eps));
      if (a.mean) a.mean.data<E>()[r] = mean;
      if (a.rstd) a.rstd.data<E>()[r] = rstd;
      const V m(mean);
      const V scale(rstd);
      sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        const V normal = (load<V>(x + i, count) - m) * scale;
        store(fma(normal, load<V>(gamma + i, count), load<V>(beta + i, count)), y + i, count);
      });
    }
  });
}

void layer_norm(Context& context, const LayerNormArgs& a) {
  by_type(a.y.dtype, [&](auto zero) { layer_norm_as<decltype(zero)>(context, a); });
}

template <class V>
struct GradSums {
  V slope, projection;  // Σ γ dy and Σ γ dy x̂
};

/// One row of the backward. `dgamma` and `dbeta` are this block's partial sums; either, and dx, may be null.
template <class V, class T>
TESSERA_INLINE void layer_norm_grad_row(const typename V::Element* x, const T* dy, const typename V::Element* gamma,
                                        typename V::Element mean, typename V::Element rstd, int64_t n,
                                        typename V::Element* dx, bool accumulate, typename V::Element* dgamma,
                                        typename V::Element* dbeta) {
  using E = typename V::Element;
  const V m(mean);
  const V scale(rstd);
  const V zero(0.0);
  GradSums<V> acc[4] = {{zero, zero}, {zero, zero}, {zero, zero}, {zero, zero}};
  sweep4<V>(n, acc, [&](GradSums<V>& s, int64_t i, auto count) TESSERA_INLINE_BODY {
    const V normal = (load<V>(x + i, count) - m) * scale;
    const V g = load<V>(dy + i, count);
    if (dgamma != nullptr) store(fma(g, normal, load<V>(dgamma + i, count)), dgamma + i, count);
    if (dbeta != nullptr) store(load<V>(dbeta + i, count) + g, dbeta + i, count);
    const V scaled = g * load<V>(gamma + i, count);
    s.slope += scaled;
    s.projection = fma(scaled, normal, s.projection);
  });
  if (dx == nullptr) return;
  const E inverse = E(1) / static_cast<E>(n);
  const V slope(sum((acc[0].slope + acc[1].slope) + (acc[2].slope + acc[3].slope)) * inverse);
  const V projection(sum((acc[0].projection + acc[1].projection) + (acc[2].projection + acc[3].projection)) * inverse);
  sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
    const V normal = (load<V>(x + i, count) - m) * scale;
    const V centred = load<V>(dy + i, count) * load<V>(gamma + i, count) - slope;
    put(scale * fnma(normal, projection, centred), dx + i, accumulate, count);
  });
}

template <class T>
void layer_norm_grad_as(Context& context, const LayerNormGradArgs& a) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const int64_t rows = a.x.size(0);
  const int64_t n = a.x.size(1);
  if (n == 0) return;
  const int64_t blocks = tree_blocks(rows);
  const bool parameters = a.dgamma || a.dbeta;
  const Scratch scratch(context, parameters ? static_cast<size_t>(blocks * 2 * n) * sizeof(E) : 0);
  E* partials = scratch.as<E>();  // [blocks][dgamma, dbeta][n]
  const int64_t grain = parameters ? max_of(1, kGrain / (min_of(max_of(rows, 1), kTreeRows) * n)) : 1;
  parallel_for(context, blocks, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) {
      E* dgamma = a.dgamma ? partials + b * 2 * n : nullptr;
      E* dbeta = a.dbeta ? partials + (b * 2 + 1) * n : nullptr;
      if (parameters) __builtin_memset(partials + b * 2 * n, 0, static_cast<size_t>(2 * n) * sizeof(E));
      const int64_t last = min_of(rows, (b + 1) * kTreeRows);
      for (int64_t r = b * kTreeRows; r < last; ++r) {
        layer_norm_grad_row<V>(a.x.data<const E>() + r * n, a.dy.data<const T>() + r * n, a.gamma.data<const E>(),
                               a.mean.data<const E>()[r], a.rstd.data<const E>()[r], n,
                               a.dx ? a.dx.data<E>() + r * n : nullptr, a.dx_mode == GradMode::accumulate, dgamma,
                               dbeta);
      }
    }
  });
  if (!parameters) return;
  if (a.dgamma) finish_sums<V>(context, partials, blocks, 2 * n, n, a.dgamma, a.gamma_mode);
  if (a.dbeta) finish_sums<V>(context, partials + n, blocks, 2 * n, n, a.dbeta, a.beta_mode);
}

void layer_norm_grad(Context& context, const LayerNormGradArgs& a) {
  by_type(a.dy.dtype, [&](auto zero) { layer_norm_grad_as<decltype(zero)>(context, a); });
}

constexpr double kSmallestNorm = 1e-12;

template <class V>
TESSERA_INLINE typename V::Element row_dot(const typename V::Element* a, const typename V::Element* b, int64_t n) {
  V acc[4] = {V(0.0), V(0.0), V(0.0), V(0.0)};
  sweep4<V>(n, acc, [&](V& s, int64_t i, auto count) TESSERA_INLINE_BODY {
    s = fma(load<V>(a + i, count), load<V>(b + i, count), s);
  });
  return total(acc);
}

template <class E>
void l2_normalize_as(Context& context, const L2NormalizeArgs& a) {
  using V = typename VecOf<E>::Type;
  const int64_t n = a.x.size(1);
  parallel_for(context, a.x.size(0), row_grain(n), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const E* x = a.x.data<const E>() + r * n;
      E* y = a.y.data<E>() + r * n;
      const auto norm = static_cast<E>(__builtin_sqrt(static_cast<double>(row_dot<V>(x, x, n))));
      if (a.norm) a.norm.data<E>()[r] = norm;
      const V divisor(norm > static_cast<E>(kSmallestNorm) || norm != norm ? norm : static_cast<E>(kSmallestNorm));
      sweep<V>(
          n, [&](int64_t i, auto count) TESSERA_INLINE_BODY { store(load<V>(x + i, count) / divisor, y + i, count); });
    }
  });
}

void l2_normalize(Context& context, const L2NormalizeArgs& a) {
  if (a.x.dtype == DType::f64) return l2_normalize_as<double>(context, a);
  return l2_normalize_as<float>(context, a);
}

template <class E>
void l2_normalize_grad_as(Context& context, const L2NormalizeGradArgs& a) {
  using V = typename VecOf<E>::Type;
  const int64_t n = a.y.size(1);
  const bool accumulate = a.mode == GradMode::accumulate;
  parallel_for(context, a.y.size(0), row_grain(n), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const E* y = a.y.data<const E>() + r * n;
      const E* dy = a.dy.data<const E>() + r * n;
      E* dx = a.dx.data<E>() + r * n;
      const E norm = a.norm.data<const E>()[r];
      const bool small = norm <= static_cast<E>(kSmallestNorm);
      const V projection(small ? E(0) : row_dot<V>(y, dy, n));
      const V inverse(1.0 / (small ? kSmallestNorm : static_cast<double>(norm)));
      sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        put(fnma(load<V>(y + i, count), projection, load<V>(dy + i, count)) * inverse, dx + i, accumulate, count);
      });
    }
  });
}

void l2_normalize_grad(Context& context, const L2NormalizeGradArgs& a) {
  if (a.y.dtype == DType::f64) return l2_normalize_grad_as<double>(context, a);
  return l2_normalize_grad_as<float>(context, a);
}

template <class E>
void column_moments_as(Context& context, const ColumnMomentsArgs& a) {
  using V = typename VecOf<E>::Type;
  const int64_t rows = a.x.size(0);
  const int64_t n = a.x.size(1);
  const auto* x = a.x.data<const E>();
  E* mean = a.mean.data<E>();
  const Scratch scratch(context, static_cast<size_t>(tree_blocks(rows) * n) * sizeof(E));
  E* partials = scratch.as<E>();
  const auto average = [&](const View& out, const auto& term) {
    sum_blocks<V, 1>(context, rows, n, partials, term);
    finish_sums<V>(context, partials, tree_blocks(rows), n, n, {}, GradMode::overwrite);
    // Divided, so that a constant column has variance 0.
    for (int64_t c = 0; c < n; ++c) out.data<E>()[c] = partials[c] / static_cast<E>(max_of(1, rows));
  };
  average(a.mean,
          [&](int64_t r, int64_t c, auto lanes, V* t) TESSERA_INLINE_BODY { t[0] = load<V>(x + r * n + c, lanes); });
  average(a.variance, [&](int64_t r, int64_t c, auto lanes, V* t) TESSERA_INLINE_BODY {
    const V d = load<V>(x + r * n + c, lanes) - load<V>(mean + c, lanes);
    t[0] = d * d;
  });
}

void column_moments(Context& context, const ColumnMomentsArgs& a) {
  if (a.x.dtype == DType::f64) return column_moments_as<double>(context, a);
  return column_moments_as<float>(context, a);
}

template <class Y>
void batch_norm_as(Context& context, const BatchNormArgs& a) {
  using V = typename VecOf<Y>::Type;
  using E = typename V::Element;
  const int64_t n = a.x.size(1);
  const auto* mean = a.mean.data<const E>();
  const auto* gamma = a.gamma.data<const E>();
  const auto* beta = a.beta.data<const E>();
  E* rstd = a.rstd.data<E>();
  for (int64_t c = 0; c < n; ++c) {
    const auto variance = static_cast<double>(a.variance.data<const E>()[c]);
    rstd[c] = static_cast<E>(1.0 / __builtin_sqrt(variance + a.eps));
  }
  parallel_for(context, a.x.size(0), row_grain(n), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const E* x = a.x.data<const E>() + r * n;
      Y* y = a.y.data<Y>() + r * n;
      sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        const V normal = (load<V>(x + i, count) - load<V>(mean + i, count)) * load<V>(rstd + i, count);
        const V scaled = gamma == nullptr ? normal : normal * load<V>(gamma + i, count);
        store(beta == nullptr ? scaled : scaled + load<V>(beta + i, count), y + i, count);
      });
    }
  });
}

void batch_norm(Context& context, const BatchNormArgs& a) {
  by_type(a.y.dtype, [&](auto zero) { batch_norm_as<decltype(zero)>(context, a); });
}

/// dx of every row, given Σ_r dy and Σ_r dy x̂ [n] where the moments are the batch's own.
template <class T>
void batch_norm_grad_rows(Context& context, const BatchNormGradArgs& a, const typename VecOf<T>::Type::Element* slope,
                          const typename VecOf<T>::Type::Element* projection) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const int64_t rows = a.x.size(0);
  const int64_t n = a.x.size(1);
  const auto* mean = a.mean.data<const E>();
  const auto* rstd = a.rstd.data<const E>();
  const auto* gamma = a.gamma.data<const E>();
  const bool accumulate = a.dx_mode == GradMode::accumulate;
  const V inverse(1.0 / static_cast<double>(max_of(1, rows)));
  parallel_for(context, rows, row_grain(n), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const E* x = a.x.data<const E>() + r * n;
      const T* dy = a.dy.data<const T>() + r * n;
      E* dx = a.dx.data<E>() + r * n;
      sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        V g = load<V>(dy + i, count);
        const V scale = load<V>(rstd + i, count);
        if (a.own_moments) {
          const V normal = (load<V>(x + i, count) - load<V>(mean + i, count)) * scale;
          g = fnma(normal, load<V>(projection + i, count) * inverse, g - load<V>(slope + i, count) * inverse);
        }
        g = g * scale;
        put(gamma == nullptr ? g : g * load<V>(gamma + i, count), dx + i, accumulate, count);
      });
    }
  });
}

template <class T>
void batch_norm_grad_as(Context& context, const BatchNormGradArgs& a) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const int64_t rows = a.x.size(0);
  const int64_t n = a.x.size(1);
  if (!a.dgamma && !a.dbeta && !a.own_moments) {
    if (a.dx) batch_norm_grad_rows<T>(context, a, nullptr, nullptr);
    return;
  }
  const Scratch scratch(context, static_cast<size_t>(tree_blocks(rows) * 2 * n) * sizeof(E));
  E* partials = scratch.as<E>();  // Σ dy, Σ dy x̂
  const auto* x = a.x.data<const E>();
  const auto* dy = a.dy.data<const T>();
  const auto* mean = a.mean.data<const E>();
  const auto* rstd = a.rstd.data<const E>();
  sum_blocks<V, 2>(context, rows, n, partials, [&](int64_t r, int64_t c, auto count, V* t) TESSERA_INLINE_BODY {
    t[0] = load<V>(dy + r * n + c, count);
    t[1] = t[0] * ((load<V>(x + r * n + c, count) - load<V>(mean + c, count)) * load<V>(rstd + c, count));
  });
  finish_sums<V>(context, partials, tree_blocks(rows), 2 * n, n, a.dbeta, a.beta_mode);
  finish_sums<V>(context, partials + n, tree_blocks(rows), 2 * n, n, a.dgamma, a.gamma_mode);
  if (a.dx) batch_norm_grad_rows<T>(context, a, partials, partials + n);
}

void batch_norm_grad(Context& context, const BatchNormGradArgs& a) {
  by_type(a.dy.dtype, [&](auto zero) { batch_norm_grad_as<decltype(zero)>(context, a); });
}

}  // namespace

extern const NormKernels kNormKernels;
const NormKernels kNormKernels{.layer_norm = layer_norm,
                               .layer_norm_grad = layer_norm_grad,
                               .l2_normalize = l2_normalize,
                               .l2_normalize_grad = l2_normalize_grad,
                               .column_moments = column_moments,
                               .batch_norm = batch_norm,
                               .batch_norm_grad = batch_norm_grad};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
