// The check of gradients is itself checked: it must see a wrong one.
#include "autograd/gradcheck.h"

#include <gtest/gtest.h>

#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/ops/pointwise.h"
#include "tests/autograd/helpers.h"

namespace tessera::autograd {
namespace {

Tensor random64(const Shape& shape, const char* purpose) {
  return tessera::cast(random_tensor(shape, purpose), DType::f64);
}

/// y = x · x with a gradient of `factor` times the right one, in `rows` of its rows.
class SquareNode final : public Node {
 public:
  SquareNode(const Var& x, double factor, int64_t rows) : x_(x), factor_(factor), rows_(rows) {}
  [[nodiscard]] std::string_view name() const override { return "square"; }
  [[nodiscard]] size_t saved_bytes() const override { return 0; }
  void backward(Tape& tape, const Tensor& dy) override {
    const GradOut dx = tape.sink(x_.slot);
    binary_into(Binary::mul, dy, x_.value, 2.0, dx);
    const Tensor part = dx.tensor.slice(0, 0, rows_);
    axpby(0, part, factor_, part);
  }

 private:
  Var x_;
  double factor_;
  int64_t rows_;
};

auto square(double factor, int64_t rows) {
  return [=](const std::vector<Var>& v) -> Var {
    Tensor y = binary(Binary::mul, v[0].value, v[0].value);
    if (Tape* tape = recording({&v[0]})) return tape->record(std::make_unique<SquareNode>(v[0], factor, rows), y);
    return y;
  };
}

TEST(Gradcheck, AcceptsRightGradients) {
  const Tensor x = random64({4, 3}, "x");
  const auto result = gradcheck(square(1.0, 4), {x});
  EXPECT_TRUE(result.passed) << result.message;
  EXPECT_LT(result.worst, 1e-7);
  EXPECT_GT(result.worst, 0) << "nothing was compared";
}

TEST(Gradcheck, SeesAWrongFactor) {
  const Tensor x = random64({4, 3}, "x");
  EXPECT_FALSE(gradcheck(square(1.0001, 4), {x}).passed);
  EXPECT_FALSE(gradcheck(square(-1, 4), {x}).passed);
}

TEST(Gradcheck, SeesOneWrongRowAndSaysWhere) {
  const auto result = gradcheck(square(0, 1), {random64({4, 3}, "x")});
  EXPECT_FALSE(result.passed);
  EXPECT_TRUE(result.message.starts_with("input 0[")) << result.message;
  EXPECT_NE(result.message.find("analytic 0, numeric"), std::string::npos) << result.message;
}

TEST(Gradcheck, SeesAMissingGradient) {
  const auto forgets = [](const std::vector<Var>& v) { return mul(v[0], v[1].detach()); };
  const auto result = gradcheck(forgets, {random64({3}, "a"), random64({3}, "b")});
  EXPECT_FALSE(result.passed);
  EXPECT_TRUE(result.message.starts_with("input 1[")) << result.message;
}

TEST(Gradcheck, ChecksParametersToo) {
  Parameter w("w", random64({3, 2}, "w"));
  Parameter* const parameters[] = {&w};
  const auto right = [&](const std::vector<Var>& v) { return matmul(v[0], use(w)); };
  const auto wrong = [&](const std::vector<Var>& v) { return mul(matmul(v[0], use(w)), matmul(v[0], Var(w.value))); };
  EXPECT_TRUE(gradcheck(right, {random64({4, 3}, "x")}, parameters).passed);
  const auto result = gradcheck(wrong, {random64({4, 3}, "x")}, parameters);
  EXPECT_FALSE(result.passed);
  const auto only_parameter = gradcheck([&](const auto&) { return mul(use(w), Var(w.value)); }, {}, parameters);
  EXPECT_FALSE(only_parameter.passed);
  EXPECT_TRUE(only_parameter.message.starts_with("w[")) << only_parameter.message;
}

TEST(Gradcheck, LeavesInputsAndParametersAsTheyWere) {
  const Tensor x = random64({4, 3}, "x");
  Parameter w("w", random64({3, 2}, "w"));
  const std::vector<double> x_before(x.data<double>().begin(), x.data<double>().end());
  const std::vector<double> w_before(w.value.data<double>().begin(), w.value.data<double>().end());
  Parameter* const parameters[] = {&w};
  (void)gradcheck([&](const auto& v) { return matmul(v[0], use(w)); }, {x}, parameters);
  EXPECT_EQ(std::vector<double>(x.data<double>().begin(), x.data<double>().end()), x_before);
  EXPECT_EQ(std::vector<double>(w.value.data<double>().begin(), w.value.data<double>().end()), w_before);
}

TEST(Gradcheck, WorksInF64Only) {
  EXPECT_THROW((void)gradcheck(square(1, 1), {random_tensor({2, 2}, "x")}), DTypeError);
  const auto narrow = [](const std::vector<Var>& v) { return cast(v[0], DType::f32); };
  EXPECT_THROW((void)gradcheck(narrow, {random64({2, 2}, "x")}), DTypeError);
}

}  // namespace
}  // namespace tessera::autograd
