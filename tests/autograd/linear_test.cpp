// The composite nodes: parts of fused weights, the perceptron, packed weights.
#include "autograd/ops/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops/norm.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"
#include "engine/ops/copy.h"
#include "tests/autograd/helpers.h"

namespace tessera::autograd {
namespace {

using Floats = std::vector<float>;

double largest_difference(const Floats& a, const Floats& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::isnan(a[i]) ? std::numeric_limits<double>::infinity()
                             : std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return worst;
}

Tensor nan_filled(const Shape& shape) { return Tensor::full(shape, std::numeric_limits<double>::quiet_NaN()); }

TEST(LinearRows, PartsMakeTheWhole) {
  const Tensor x = random_tensor({5, 4}, "x");
  const auto run = [&](bool in_parts) {
    Parameter w("w", random_tensor({7, 4}, "w"));
    Parameter b("b", random_tensor({7}, "b"));
    w.grad = nan_filled({7, 4});
    b.grad = nan_filled({7});
    Tape tape;
    const TapeScope scope(tape);
    if (in_parts) {
      const Var q = linear(x, use(w), {.bias = use(b), .rows = {0, 2}});
      const Var kv = linear(x, use(w), {.bias = use(b), .rows = {2, 5}});
      const Tensor weights = random_tensor({5, 7}, "dy");
      const Root roots[] = {{q, tessera::contiguous(weights.slice(1, 0, 2))},
                            {kv, tessera::contiguous(weights.slice(1, 2, 5))}};
      tape.backward(roots);
    } else {
      tape.backward(linear(x, use(w), {.bias = use(b)}), random_tensor({5, 7}, "dy"));
    }
    return std::pair{floats(w.grad), floats(b.grad)};
  };
  const auto whole = run(false);
  const auto parts = run(true);
  EXPECT_LT(largest_difference(parts.first, whole.first), 1e-5);
  EXPECT_LT(largest_difference(parts.second, whole.second), 1e-5);
}

TEST(LinearRows, RowsThatNobodyUsesGetZeros) {
  Parameter w("w", random_tensor({4, 3}, "w"));
  w.grad = nan_filled({4, 3});
  Tape tape;
  const TapeScope scope(tape);
  const Var x(tensor({1, 2, 3}).reshape({1, 3}));
  tape.backward(linear(x, use(w), {.rows = {1, 2}}), tensor({1, 10}).reshape({1, 2}));
  EXPECT_EQ(floats(w.grad), (Floats{0, 0, 0, 1, 2, 3, 10, 20, 30, 0, 0, 0}));
}

/// Weights and inputs of the same perceptron, as one node and from its parts.
struct Perceptron {
  Parameter w1{"w1", random_tensor({9, 4}, "w1")};
  Parameter b1{"b1", random_tensor({9}, "b1")};
  Parameter w2{"w2", random_tensor({5, 9}, "w2")};
  Parameter b2{"b2", random_tensor({5}, "b2")};
  Tensor scale = tensor({1.5f, 0, 2});
  SegmentTable samples = SegmentTable(std::vector<int64_t>{2, 1, 3});

  Var fused(const Var& x, const Var& residual) {
    return mlp(x, {.w1 = use(w1),
                   .b1 = use(b1),
                   .w2 = use(w2),
                   .b2 = use(b2),
                   .act = Act::quick_gelu,
                   .residual = residual,
                   .row_scale = scale,
                   .segments = samples});
  }
  Var apart(const Var& x, const Var& residual) {
    const Var h = unary(Unary::quick_gelu, linear(x, use(w1), {.bias = use(b1)}));
    return linear(h, use(w2), {.bias = use(b2), .residual = residual, .row_scale = scale, .segments = samples});
  }
  std::vector<Floats> run(bool as_one) {
    Tape tape;
    const TapeScope scope(tape);
    const Var x = tape.input(random_tensor({6, 4}, "x"));
    const Var residual = tape.input(random_tensor({6, 5}, "residual"));
    const Var y = as_one ? fused(x, residual) : apart(x, residual);
    EXPECT_EQ(tape.nodes(), as_one ? 1u : 3u);
    tape.backward(y, random_tensor({6, 5}, "dy"));
    std::vector<Floats> results{floats(y.value), floats(tape.take(x.slot)), floats(tape.take(residual.slot))};
    for (const Parameter* p : {&w1, &b1, &w2, &b2}) results.push_back(floats(p->grad));
    return results;
  }
};

TEST(Mlp, IsTheCompositionOfItsParts) {
  const auto one = Perceptron().run(true);
  const auto apart = Perceptron().run(false);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_LT(largest_difference(one[i], apart[i]), 2e-5) << "result " << i;
}

TEST(Mlp, DroppedSamplesKeepTheirResidualAndGiveNoGradient) {
  Perceptron p;
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(random_tensor({6, 4}, "x"));
  const Tensor residual = random_tensor({6, 5}, "residual");
  const Var y = p.fused(x, residual);
  EXPECT_EQ(floats(y.value.slice(0, 2, 1)), floats(residual.slice(0, 2, 1)));
  tape.backward(y, random_tensor({6, 5}, "dy"));
  EXPECT_EQ(floats(tape.take(x.slot).slice(0, 2, 1)), Floats(4, 0.0f));
}

TEST(Mlp, KeepsItsInputAndThePreActivation) {
  Parameter w1("w1", random_tensor({256, 64}, "w1"));
  Parameter w2("w2", random_tensor({64, 256}, "w2"));
  Tape tape;
  const TapeScope scope(tape);
  const Var y = mlp(tape.input(random_tensor({2048, 64}, "x")), {.w1 = use(w1), .w2 = use(w2)});
  EXPECT_NE(tape.report().find("tape: 1 nodes, 2.5 MiB"), std::string::npos) << tape.report();
}

/// The gradients behind a layer norm whose output is made again in the backward, or kept.
std::vector<Floats> behind_a_norm(DType compute, bool again) {
  Parameter gamma("gamma", random_tensor({4}, "gamma"));
  Parameter beta("beta", random_tensor({4}, "beta"));
  Parameter w("w", random_tensor({5, 4}, "w"));
  Perceptron p;
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(random_tensor({6, 4}, "x"));
  Var normed = layer_norm(x, use(gamma), use(beta), 1e-6, compute);
  if (!again) normed.remake = nullptr;
  const std::weak_ptr<Storage> held = normed.value.storage();
  const Root roots[] = {{linear(normed, use(w)), random_tensor({6, 5}, "dy")},
                        {p.fused(normed, random_tensor({6, 5}, "residual")), random_tensor({6, 5}, "dz")}};
  normed = {};
  EXPECT_EQ(held.expired(), again);
  tape.backward(roots);
  std::vector<Floats> results{floats(tape.take(x.slot))};
  for (const Parameter* q : {&gamma, &beta, &w, &p.w1, &p.b1, &p.w2, &p.b2}) results.push_back(floats(q->grad));
  return results;
}

TEST(Kept, ANormIsMadeAgainWithEqualBits) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    EXPECT_EQ(behind_a_norm(compute, true), behind_a_norm(compute, false)) << name_of(compute);
  }
}

TEST(Packs, AreRemadeWhenAParameterIsWritten) {
  Parameter w("w", random_tensor({33, 40}, "w"));
  const Var x(tessera::cast(random_tensor({3, 40}, "x"), DType::bf16));
  const auto product = [&](const Var& weight) { return floats(linear(x, weight).value); };
  EXPECT_EQ(product(use(w)), product(Var(w.value))) << "a kept pack changes no bit";
  const Tensor twice = tessera::binary(Binary::add, w.value, w.value);
  copy_into(twice, w.value);
  w.mark_written();
  const Floats after = product(use(w));
  EXPECT_EQ(after, product(Var(twice)));
  // The backward's pack follows as well.
  Tape tape;
  const TapeScope scope(tape);
  const Var input = tape.input(x.value);
  const Var y = linear(input, use(w));
  copy_into(random_tensor({33, 40}, "other"), w.value);
  w.mark_written();
  tape.backward(y, random_tensor({3, 33}, "dy"));
  const Tensor found = tape.take(input.slot);
  Tape fresh;
  const TapeScope fresh_scope(fresh);
  const Var again = fresh.input(x.value);
  fresh.backward(linear(again, Var(w.value)), random_tensor({3, 33}, "dy"));
  EXPECT_EQ(floats(tessera::cast(found, DType::f32)), floats(tessera::cast(fresh.take(again.slot), DType::f32)));
}

}  // namespace
}  // namespace tessera::autograd
