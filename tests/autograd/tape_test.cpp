// The tape: sinks, roots, hooks, lifetimes.
#include "autograd/tape.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>

#include "autograd/checkpoint.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/ops/pointwise.h"
#include "tests/autograd/helpers.h"

namespace tessera::autograd {
namespace {

using Floats = std::vector<float>;

TEST(Tape, TheFirstGradientOverwritesAndLaterOnesAdd) {
  Parameter p = parameter("p", {1, 2, 3});
  fill(p.grad, std::numeric_limits<double>::quiet_NaN());
  const auto step = [&] {
    Tape tape;
    const TapeScope scope(tape);
    tape.backward(sum(use(p), 2.0));
  };
  step();
  EXPECT_TRUE(p.has_grad);
  EXPECT_EQ(floats(p.grad), (Floats{2, 2, 2})) << "NaN was added to, not overwritten";
  step();
  EXPECT_EQ(floats(p.grad), (Floats{4, 4, 4})) << "a second micro-batch adds";
  p.has_grad = false;
  step();
  EXPECT_EQ(floats(p.grad), (Floats{2, 2, 2}));
}

TEST(Tape, AParameterUsedTwiceCollectsBothGradients) {
  Parameter p = parameter("p", {1, 2, 3});
  Tape tape;
  const TapeScope scope(tape);
  const Var a = use(p);
  const Var b = use(p);
  EXPECT_EQ(a.slot.index, b.slot.index);
  tape.backward(sum(mul(a, b)));  // Σ p²
  EXPECT_EQ(floats(p.grad), (Floats{2, 4, 6}));
}

TEST(Tape, SeveralRootsAddUp) {
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({1, 2}));
  const Var y = scale(x, 3);
  const Root roots[] = {{sum(y), {}}, {y, tensor({10, 20})}, {x, tensor({0.5f, 0.25f})}, {Var(tensor({7})), {}}};
  tape.backward(roots);
  EXPECT_EQ(floats(tape.take(x.slot)), (Floats{33.5f, 63.25f}));
}

TEST(Tape, ARootThatIsNoScalarNeedsASeed) {
  Tape tape;
  const TapeScope scope(tape);
  const Var y = scale(tape.input(tensor({1, 2})), 3);
  EXPECT_THROW(tape.backward(y), ShapeError);
}

TEST(Tape, GradientsThatNobodyWantsAreNotMade) {
  Tape tape;
  const TapeScope scope(tape);
  const Var constant(tensor({1, 2}));
  EXPECT_FALSE(tape.sink(constant.slot));
  EXPECT_EQ(tape.nodes(), 0u);
  (void)scale(constant, 2);
  EXPECT_EQ(tape.nodes(), 0u) << "an operation on constants is not recorded";
  const Var unused = tape.input(tensor({3}));
  const Var used = tape.input(tensor({4}));
  tape.backward(sum(used));
  EXPECT_FALSE(tape.take(unused.slot));
  EXPECT_EQ(floats(tape.take(used.slot)), (Floats{1}));
  EXPECT_FALSE(tape.take(used.slot)) << "taking empties";
}

TEST(Tape, SinksSayWhetherToStoreOrAdd) {
  Tape tape;
  const Var x = tape.input(tensor({1, 2}));
  const GradOut first = tape.sink(x.slot);
  EXPECT_EQ(first.mode, GradMode::overwrite);
  const GradOut second = tape.sink(x.slot);
  EXPECT_EQ(second.mode, GradMode::accumulate);
}

/// What a caller or another node still holds must not change when more is added to a slot.
TEST(Tape, GivenGradientsAreCopiedOnlyWhenSharedAndAddedTo) {
  Tape tape;
  const Var x = tape.input(tensor({1, 2}));
  const Tensor seed = tensor({10, 20});
  tape.give(x.slot, seed);
  const Tensor seen = tape.take(x.slot);
  EXPECT_EQ(seen.pointer(), seed.pointer()) << "an empty slot takes a gradient without a copy";
  tape.give(x.slot, seed);
  tape.give(x.slot, seed);
  EXPECT_EQ(floats(tape.take(x.slot)), (Floats{20, 40}));
  EXPECT_EQ(floats(seed), (Floats{10, 20}));
  tape.give(x.slot, seed);
  const GradOut sink = tape.sink(x.slot);
  EXPECT_EQ(sink.mode, GradMode::accumulate);
  EXPECT_NE(sink.tensor.pointer(), seed.pointer()) << "shared storage is left alone";
}

TEST(Tape, AResidualPassesItsGradientOnWithoutHarm) {
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({1, 2, 3, 4}).reshape({2, 2}));
  const Var w = tape.input(tensor({1, 0, 1, 1}).reshape({2, 2}));
  const Var y = linear(x, w, {.residual = x});
  const Tensor seed = tensor({1, 10, 100, 1000}).reshape({2, 2});
  tape.backward(y, seed);
  EXPECT_EQ(floats(tape.take(x.slot)), (Floats{12, 20, 1200, 2000}));  // dy + dy W
  EXPECT_EQ(floats(seed), (Floats{1, 10, 100, 1000}));
}

TEST(Tape, ReadyParametersComeOnceInReverseOfTheirFirstUse) {
  Parameter a = parameter("a", {2});
  Parameter b = parameter("b", {3});
  Parameter c = parameter("c", {5});
  Parameter unused = parameter("unused", {7});
  Tape tape;
  const TapeScope scope(tape);
  std::vector<std::string> order;
  std::vector<float> at_ready;
  tape.on_ready = [&](Parameter& p) {
    order.push_back(p.name);
    at_ready.push_back(p.has_grad ? floats(p.grad)[0] : 0);
  };
  const Var first = use(a);
  const Var dead = scale(use(unused), 2);  // nothing is asked of it
  Var y = mul(first, use(b));
  y = mul(y, use(c));
  y = mul(y, use(a));  // a² b c
  tape.backward(y);
  EXPECT_EQ(order, (std::vector<std::string>{"c", "b", "unused", "a"}));
  EXPECT_EQ(at_ready, (std::vector<float>{12, 20, 0, 60})) << "a gradient was incomplete when its parameter was ready";
  EXPECT_FALSE(unused.has_grad);
}

TEST(Tape, FrozenParametersAreConstants) {
  Parameter p = parameter("p", {1, 2});
  Parameter q = parameter("q", {3, 4});
  p.frozen = true;
  Tape tape;
  const TapeScope scope(tape);
  int ready = 0;
  tape.on_ready = [&](Parameter&) { ++ready; };
  EXPECT_FALSE(use(p).slot);
  tape.backward(sum(mul(use(p), use(q))));
  EXPECT_FALSE(p.has_grad);
  EXPECT_EQ(floats(q.grad), (Floats{1, 2}));
  EXPECT_EQ(ready, 1);
}

TEST(Tape, WithoutATapeNothingIsRecorded) {
  Parameter p = parameter("p", {1, 2});
  EXPECT_EQ(Tape::current(), nullptr);
  EXPECT_FALSE(use(p).slot);
  Tape outer;
  const TapeScope scope(outer);
  {
    const TapeScope none(nullptr);
    EXPECT_FALSE(sum(use(p)).slot);
  }
  EXPECT_EQ(Tape::current(), &outer);
  EXPECT_EQ(outer.nodes(), 0u);
}

TEST(Tape, NodesDieAsTheyAreSwept) {
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({1, 2}));
  Var y = mul(x, x);
  const std::weak_ptr<Storage> held = y.value.storage();
  Var loss = sum(mul(y, y));
  y = {};
  EXPECT_FALSE(held.expired()) << "the product's node needs it";
  EXPECT_EQ(tape.nodes(), 3u);
  tape.backward(loss);
  EXPECT_EQ(tape.nodes(), 0u);
  EXPECT_TRUE(held.expired());
}

TEST(Tape, SlotsOfAnotherTapeAreRefused) {
  Tape first;
  const Var x = first.input(tensor({1}));
  Tape second;
  EXPECT_THROW((void)second.sink(x.slot), Error);
  const TapeScope scope(second);
  EXPECT_THROW((void)scale(x, 2), Error);
}

/// y = x, passing the gradient on: as small as a node can be.
class PassNode final : public Node {
 public:
  explicit PassNode(Slot x) : x_(x) {}
  [[nodiscard]] std::string_view name() const override { return "pass"; }
  [[nodiscard]] size_t saved_bytes() const override { return 3 << 20; }
  void backward(Tape& tape, const Tensor& dy) override { tape.give(x_, dy); }

 private:
  Slot x_;
};

TEST(Tape, ADeepOneNeedsNoStack) {
  constexpr int kDepth = 1000000;
  Tape tape;
  const Var x = tape.input(tensor({1}));
  Var y = x;
  for (int i = 0; i < kDepth; ++i) y = tape.record(std::make_unique<PassNode>(y.slot), y.value);
  tape.backward(y, tensor({3}));
  EXPECT_EQ(floats(tape.take(x.slot)), (Floats{3}));
}

TEST(Tape, ReportsBytesByKindOfNode) {
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({1}));
  Var y = mul(x, x);
  for (int i = 0; i < 2; ++i) y = tape.record(std::make_unique<PassNode>(y.slot), y.value);
  const std::string report = tape.report();
  EXPECT_NE(report.find("tape: 3 nodes, 6.0 MiB"), std::string::npos) << report;
  EXPECT_LT(report.find("pass"), report.find("binary")) << "the largest first: " << report;
}

/// Makes an output and a gradient that are not finite, says on stderr what was caught, and leaves.
[[noreturn]] void meet_what_is_not_finite() {
  Tape tape;
  const TapeScope scope(tape);
  const Var x = tape.input(tensor({1, 100}));
  try {
    (void)unary(Unary::exp, x);
  } catch (const Error& e) {
    std::fprintf(stderr, "caught %s\n", e.what());
  }
  const Var y = scale(x, 2);
  try {
    tape.backward(y, tensor({1, std::numeric_limits<float>::quiet_NaN()}));
  } catch (const Error& e) {
    std::fprintf(stderr, "caught %s\n", e.what());
  }
  std::fprintf(stderr, "left\n");
  std::exit(3);
}

/// In processes of their own, started afresh, because the variable is read once.
TEST(CheckFiniteDeathTest, NamesTheNode) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  setenv("TESSERA_CHECK_FINITE", "1", 1);
  EXPECT_EXIT(meet_what_is_not_finite(), testing::ExitedWithCode(3),
              "caught unary: its output \\(f32 \\[2\\]\\) holds inf[^\n]*\n"
              "caught binary: its gradient \\(f32 \\[2\\]\\) holds nan[^\n]*\nleft");
  unsetenv("TESSERA_CHECK_FINITE");
}

TEST(CheckFiniteDeathTest, IsOffUnlessAskedFor) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  setenv("TESSERA_CHECK_FINITE", "0", 1);
  EXPECT_EXIT(meet_what_is_not_finite(), testing::ExitedWithCode(3), "^left\n$");
  unsetenv("TESSERA_CHECK_FINITE");
}

}  // namespace
}  // namespace tessera::autograd
