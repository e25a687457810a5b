#include "engine/ops/optimizer.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

constexpr int64_t kBlock = kGrain;  // elements of a task, and of a partial sum of the norms

using Parameters = std::span<const ParameterRange>;

/// Ranges cut into blocks of kBlock elements: range s owns blocks first[s] .. first[s + 1]. Frozen ones have none.
class Blocks {
 public:
  Blocks(Context& context, Parameters ranges)
      : ranges_(ranges), scratch_(context, (ranges.size() + 1) * sizeof(int64_t)) {
    auto* first = scratch_.as<int64_t>();
    first[0] = 0;
    for (size_t s = 0; s < ranges.size(); ++s) {
      const int64_t count = ranges[s].frozen ? 0 : (ranges[s].count + kBlock - 1) / kBlock;
      first[s + 1] = first[s] + count;
    }
  }
  [[nodiscard]] int64_t count() const { return first(ranges_.size()); }
  [[nodiscard]] int64_t first(size_t range) const { return scratch_.as<const int64_t>()[range]; }

  /// body(range number, offset in the arena, count, block) for each block, in parallel.
  template <class Body>
  void run(Context& context, const Body& body) const {
    parallel_for(context, count(), 1, [&](int64_t block, int64_t, int) {
      size_t low = 0;
      size_t high = ranges_.size();
      while (high - low > 1) {  // the last range whose first block is not after this one
        const size_t middle = low + (high - low) / 2;
        (first(middle) <= block ? low : high) = middle;
      }
      const int64_t begin = (block - first(low)) * kBlock;
      body(low, ranges_[low].offset + begin, min_of(kBlock, ranges_[low].count - begin), block);
    });
  }

 private:
  Parameters ranges_;
  Scratch scratch_;
};

template <class E>
void adamw_as(Context& context, const AdamWArgs& a) {
  using V = typename VecOf<E>::Type;
  const StepState& t = *a.state;
  const V gradient_scale(t.gradient_scale);
  const V beta1(t.beta1);
  const V beta2(t.beta2);
  const V rest1(1.0 - t.beta1);
  const V rest2(1.0 - t.beta2);
  const V root_scale(1.0 / __builtin_sqrt(t.bias_correction2));
  const V eps(t.eps);
  const Blocks blocks(context, a.ranges);
  blocks.run(context, [&](size_t s, int64_t offset, int64_t n, int64_t) {
    const double rate = t.lr * static_cast<double>(a.ranges[s].lr_scale);
    const V decay(1.0 - rate * static_cast<double>(a.ranges[s].weight_decay));
    const V step(rate / t.bias_correction1);
    E* value = a.value.data<E>() + offset;
    const E* grad = a.grad.data<const E>() + offset;
    E* m = a.m.data<E>() + offset;
    E* v = a.v.data<E>() + offset;
    sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
      const V g = load<V>(grad + i, count) * gradient_scale;
      const V m1 = fma(beta1, load<V>(m + i, count), rest1 * g);
      const V v1 = fma(beta2, load<V>(v + i, count), rest2 * (g * g));
      const V update = m1 / fma(sqrt(v1), root_scale, eps);
      store(m1, m + i, count);
      store(v1, v + i, count);
      store(fnma(step, update, load<V>(value + i, count) * decay), value + i, count);
    });
  });
}

void adamw(Context& context, const AdamWArgs& a) {
  if (a.value.dtype == DType::f64) return adamw_as<double>(context, a);
  return adamw_as<float>(context, a);
}

/// u = μ u + factor · (g · gradient_scale + decay · w); w −= rate · u.
template <class E>
TESSERA_INLINE void momentum_step(E* value, const E* grad, E* momentum, int64_t n, double gradient_scale, double decay,
                                  double factor, double mu, double rate) {
  using V = typename VecOf<E>::Type;
  const V scale(gradient_scale * factor);
  const V pull(decay * factor);
  const V keep_momentum(mu);
  const V step(rate);
  sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
    const V w = load<V>(value + i, count);
    const V g = fma(pull, w, load<V>(grad + i, count) * scale);
    const V u = fma(keep_momentum, load<V>(momentum + i, count), g);
    store(u, momentum + i, count);
    store(fnma(step, u, w), value + i, count);
  });
}

template <class E>
void lars_as(Context& context, const LarsArgs& a) {
  using V = typename VecOf<E>::Type;
  const StepState& t = *a.state;
  const Blocks blocks(context, a.ranges);
  const auto size = static_cast<size_t>(blocks.count());
  const Scratch scratch(context, 2 * size * sizeof(double) + a.ranges.size() * sizeof(double));
  auto* value_squares = scratch.as<double>();
  double* grad_squares = value_squares + size;
  double* factors = grad_squares + size;
  blocks.run(context, [&](size_t s, int64_t offset, int64_t n, int64_t block) {
    if (a.adapt[s] == 0) return;
    const V scale(t.gradient_scale);
    const V decay(static_cast<double>(a.ranges[s].weight_decay));
    const E* value = a.value.data<const E>() + offset;
    const E* grad = a.grad.data<const E>() + offset;
    DoubleSum<V> values;
    DoubleSum<V> grads;
    sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
      const V w = load<V>(value + i, count);
      const V g = fma(decay, w, load<V>(grad + i, count) * scale);
      values.add_product(w, w);
      grads.add_product(g, g);
    });
    value_squares[block] = values.total();
    grad_squares[block] = grads.total();
  });
  for (size_t s = 0; s < a.ranges.size(); ++s) {
    factors[s] = 1.0;
    const int64_t first = blocks.first(s);
    const int64_t count = blocks.first(s + 1) - first;
    if (a.adapt[s] == 0 || count == 0) continue;
    const double value_norm = __builtin_sqrt(tree_sum(value_squares + first, count));
    const double grad_norm = __builtin_sqrt(tree_sum(grad_squares + first, count));
    if (value_norm > 0 && grad_norm > 0) factors[s] = a.trust * value_norm / grad_norm;
  }
  blocks.run(context, [&](size_t s, int64_t offset, int64_t n, int64_t) {
    const double decay = a.adapt[s] != 0 ? static_cast<double>(a.ranges[s].weight_decay) : 0.0;
    momentum_step(a.value.data<E>() + offset, a.grad.data<const E>() + offset, a.momentum.data<E>() + offset, n,
                  t.gradient_scale, decay, factors[s], a.mu, t.lr * static_cast<double>(a.ranges[s].lr_scale));
  });
}

void lars(Context& context, const LarsArgs& a) {
  if (a.value.dtype == DType::f64) return lars_as<double>(context, a);
  return lars_as<float>(context, a);
}

template <class E>
void norm2_as(Context& context, const Norm2Args& a) {
  using V = typename VecOf<E>::Type;
  const Blocks blocks(context, a.ranges);
  const Scratch scratch(context, static_cast<size_t>(blocks.count()) * sizeof(double));
  auto* partials = scratch.as<double>();
  blocks.run(context, [&](size_t, int64_t offset, int64_t n, int64_t block) {
    const E* x = a.x.data<const E>() + offset;
    DoubleSum<V> acc[4];
    sweep4<V>(n, acc, [&](DoubleSum<V>& s, int64_t i, auto count) TESSERA_INLINE_BODY {
      const V v = load<V>(x + i, count);
      s.add_product(v, v);
    });
    partials[block] = (acc[0].total() + acc[1].total()) + (acc[2].total() + acc[3].total());
  });
  *a.out.data<double>() = __builtin_sqrt(tree_sum(partials, blocks.count()));
}

void norm2(Context& context, const Norm2Args& a) {
  if (a.x.dtype == DType::f64) return norm2_as<double>(context, a);
  return norm2_as<float>(context, a);
}

}  // namespace

extern const OptimizerKernels kOptimizerKernels;
const OptimizerKernels kOptimizerKernels{.adamw = adamw, .lars = lars, .norm2 = norm2};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
