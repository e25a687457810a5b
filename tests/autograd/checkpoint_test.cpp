// Checkpointing gives the same bits and the same hooks as keeping intermediate results.
#include "autograd/checkpoint.h"

#include <gtest/gtest.h>

#include "autograd/ops/linear.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "engine/core/error.h"
#include "tests/autograd/helpers.h"

namespace tessera::autograd {
namespace {

/// Two residual blocks whose weight is shared, so that a parameter's gradient comes from both.
struct Model {
  Parameter gamma{"gamma", random_tensor({6}, "gamma")};
  Parameter beta{"beta", random_tensor({6}, "beta")};
  Parameter w{"w", random_tensor({6, 6}, "w")};
  Parameter first{"first", random_tensor({6}, "first")};
  Parameter second{"second", random_tensor({6}, "second")};
  std::vector<std::string> ready;

  Var block(const Var& x, Parameter& bias_parameter) {
    // One statement each: the order in which arguments are evaluated is the compiler's.
    const Var scale = use(gamma);
    const Var shift = use(beta);
    const Var weight = use(w);
    const Var bias = use(bias_parameter);
    const Var h = layer_norm(x, scale, shift, 1e-6, DType::f32);
    return linear(unary(Unary::gelu_erf, h), weight, {.bias = bias, .residual = x});
  }

  /// Runs forward and backward; returns the loss, the gradient of x and of every parameter.
  template <class Forward>
  std::vector<std::vector<float>> run(const Forward& forward, size_t* nodes = nullptr) {
    Tape tape;
    tape.on_ready = [&](Parameter& p) { ready.push_back(p.name); };
    const TapeScope scope(tape);
    const Var x = tape.input(random_tensor({5, 6}, "x"));
    const Var y = forward(x);
    const Var loss = sum(mul(y, y));
    if (nodes != nullptr) *nodes = tape.nodes();
    tape.backward(loss);
    std::vector<std::vector<float>> results{floats(loss.value), floats(tape.take(x.slot))};
    for (Parameter* p : {&gamma, &beta, &w, &first, &second}) {
      EXPECT_TRUE(p->has_grad) << p->name;
      results.push_back(floats(p->grad));
    }
    return results;
  }
};

std::vector<std::vector<float>> plain_run() {
  Model m;
  return m.run([&](const Var& x) { return m.block(m.block(x, m.first), m.second); });
}

TEST(Checkpoint, GivesTheSameBits) {
  Model m;
  size_t nodes = 0;
  const auto found = m.run(
      [&](const Var& x) {
        Var y = checkpoint([&](const auto& v) { return m.block(v[0], m.first); }, {x});
        return checkpoint([&](const auto& v) { return m.block(v[0], m.second); }, {y});
      },
      &nodes);
  EXPECT_EQ(found, plain_run());
  EXPECT_EQ(nodes, 4u) << "two checkpoints, a product and a sum";
}

TEST(Checkpoint, NestsWithTheSameBits) {
  Model m;
  const auto found = m.run([&](const Var& x) {
    const auto outer = [&](const std::vector<Var>& v) {
      const Var y = checkpoint([&](const auto& u) { return m.block(u[0], m.first); }, {v[0]});
      return m.block(y, m.second);
    };
    return checkpoint(outer, {x});
  });
  EXPECT_EQ(found, plain_run());
}

TEST(Checkpoint, ParametersAreReadyOnceAfterTheirLastContribution) {
  Model m;
  (void)m.run([&](const Var& x) {
    const Var y = checkpoint([&](const auto& v) { return m.block(v[0], m.first); }, {x});
    return checkpoint([&](const auto& v) { return m.block(v[0], m.second); }, {y});
  });
  EXPECT_EQ(m.ready, (std::vector<std::string>{"second", "first", "w", "beta", "gamma"}));
}

TEST(Checkpoint, ACapturedVarOfTheOuterTapeThrows) {
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({1, 2}));
  const Var captured = scale(x, 2);
  const auto function = [&](const std::vector<Var>& v) { return mul(v[0], captured); };
  EXPECT_THROW((void)checkpoint(function, {x}), Error);
  EXPECT_EQ(tape.mode(), Tape::Record::all) << "the tape records again after the error";
  EXPECT_NO_THROW(tape.backward(sum(scale(x, 2))));
}

TEST(Checkpoint, ConstantInputsAndConstantsInsideAreFine) {
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({1, 2}));
  const Var constant(tensor({3, 4}));
  const Var y = checkpoint([](const auto& v) { return mul(mul(v[0], v[1]), Var(tensor({10, 100}))); }, {x, constant});
  tape.backward(sum(y));
  EXPECT_EQ(floats(tape.take(x.slot)), (std::vector<float>{30, 400}));
}

TEST(Checkpoint, EveryInputGetsItsGradient) {
  // v₀ v₁ + v₂² v₃: the fourth input is a constant, the fifth is not used.
  const auto function = [](const std::vector<Var>& v) { return add(mul(v[0], v[1]), mul(mul(v[2], v[2]), v[3])); };
  Tape tape;
  const TapeScope scope(tape);
  const Var a = tape.input(tensor({1, 2}));
  const Var b = tape.input(tensor({3, 5}));
  const Var c = tape.input(tensor({7, 11}));
  const Var unused = tape.input(tensor({1, 1}));
  const Var y = checkpoint(function, {a, b, c, Var(tensor({2, 10})), unused});
  EXPECT_EQ(floats(y.value), (std::vector<float>{3 + 98, 10 + 1210}));
  tape.backward(y, tensor({1, 100}));
  EXPECT_EQ(floats(tape.take(a.slot)), (std::vector<float>{3, 500}));
  EXPECT_EQ(floats(tape.take(b.slot)), (std::vector<float>{1, 200}));
  EXPECT_EQ(floats(tape.take(c.slot)), (std::vector<float>{28, 22000}));
  EXPECT_FALSE(tape.take(unused.slot));
}

TEST(Checkpoint, AnInputGivenTwiceOrUsedElsewhereTooGetsTheSum) {
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({1, 2}));
  const Var y = checkpoint([](const auto& v) { return mul(v[0], scale(v[1], 3)); }, {x, x});  // 3 x²
  tape.backward(add(y, scale(x, 100)), tensor({1, 1}));
  EXPECT_EQ(floats(tape.take(x.slot)), (std::vector<float>{106, 112}));
}

TEST(Checkpoint, AParameterAsAnInputGetsItsGradientToo) {
  Parameter w = parameter("w", {2, 3});
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({5, 7}));
  const Var y = checkpoint([](const auto& v) { return mul(v[0], v[1]); }, {x, use(w)});
  tape.backward(add(y, use(w)), tensor({1, 10}));
  EXPECT_EQ(floats(tape.take(x.slot)), (std::vector<float>{2, 30}));
  ASSERT_TRUE(w.has_grad);
  EXPECT_EQ(floats(w.grad), (std::vector<float>{6, 80}));
}

TEST(Checkpoint, WithoutATapeIsACall) {
  int calls = 0;
  const auto function = [&](const std::vector<Var>& v) {
    ++calls;
    return scale(v[0], 2);
  };
  EXPECT_EQ(floats(checkpoint(function, {Var(tensor({1, 2}))}).value), (std::vector<float>{2, 4}));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace tessera::autograd
