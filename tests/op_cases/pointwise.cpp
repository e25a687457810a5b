#include "engine/ops/pointwise.h"

#include <fmt/format.h>

#include "autograd/ops/pointwise.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

constexpr Unary kUnaries[] = {Unary::exp, Unary::gelu_erf, Unary::quick_gelu, Unary::relu};
constexpr const char* kUnaryNames[] = {"exp", "gelu_erf", "quick_gelu", "relu"};
// A value or a slope is within a few roundings of the largest term that makes it.
constexpr Tolerance kFormula{.c = 6, .floor = 1, .elementwise = true};
constexpr Tolerance kExponential{.c = 6, .elementwise = true};
// A slope is a few roundings of terms of about 1, one of them (1 − σ) times arguments of up to about 10; dy reaches 4.
constexpr Tolerance kSlope{.c = 12, .floor = 4, .elementwise = true};
constexpr Tolerance kArithmetic{.c = 4, .floor = 2, .elementwise = true};

const char* name(Unary op) { return kUnaryNames[static_cast<size_t>(op)]; }

/// Values around 0 and in the tails, where a formula saturates.
Tensor arguments(Values& values, const Shape& shape, Unary op) {
  Tensor x = values.normal(shape, op == Unary::exp ? 4 : 3);
  const auto elements = x.data<double>();
  const double tails[] = {0, -0.0, 30, -30, 12, -12, 1e-6, -1e-6};
  for (size_t i = 0; i < std::size(tails) && 7 * i < elements.size(); ++i) elements[7 * i] = tails[i];
  return x;
}

Problem unary_problem(Values& values, Unary op, DType dtype, const Shape& shape, Layout x, Layout y) {
  Problem p;
  p.name = fmt::format("{} {}", name(op), to_string(shape));
  p.operands = {in("x", dtype, arguments(values, shape, op), std::move(x)),
                out("y", dtype, shape, op == Unary::exp ? kExponential : kFormula, y)};
  p.call = [op](Context& c, const KernelTable& t, Views v, GradMode) {
    t.pointwise.unary(c, {.op = op, .x = v[0], .y = v[1]});
  };
  p.op = [op](Tensors t, GradMode) -> std::vector<Tensor> { return {unary(op, t[0])}; };
  if (shape.rank() > 1) p.batch = {{0, 0}, {1, 0}};
  p.flops = 20.0 * static_cast<double>(shape.numel());
  return p;
}

Problem unary_grad_problem(Values& values, Unary op, DType dtype, const Shape& shape, Layout x, Layout dx) {
  Problem p;
  p.name = fmt::format("{} {}", name(op), to_string(shape));
  p.operands = {in("x", dtype, arguments(values, shape, op), std::move(x)), in("dy", dtype, values.normal(shape)),
                sum_out("dx", dtype, shape, kSlope, std::move(dx))};
  p.call = [op](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.pointwise.unary_grad(c, {.op = op, .x = v[0], .dy = v[1], .dx = v[2], .mode = mode});
  };
  p.op = [op](Tensors t, GradMode mode) -> std::vector<Tensor> {
    unary_grad(op, t[0], t[1], {t[2], mode});
    return {};
  };
  if (shape.rank() > 1) p.batch = {{0, 0}, {1, 0}, {2, 0}};
  p.flops = 25.0 * static_cast<double>(shape.numel());
  return p;
}

template <class Make>
std::vector<Problem> unary_problems(const char* purpose, DType dtype, const Make& make) {
  Values values(purpose);
  std::vector<Problem> problems;
  for (const Unary op : kUnaries) {
    for (const Shape& shape : {Shape{}, {0}, {1}, {17}, {5, 37}, {3, 10923}}) {
      problems.push_back(make(values, op, dtype, shape, Layout{}, Layout{}));
    }
    problems.push_back(make(values, op, dtype, Shape{33, 65}, permuted({1, 0}), Layout{}));
    problems.push_back(make(values, op, dtype, Shape{3, 40, 7}, padded(3), permuted({2, 0, 1})));
    problems.push_back(make(values, op, dtype, Shape{37, 40}, starting(0, padded(16)), Layout{}));
    problems.push_back(make(values, op, dtype, Shape{700}, starting(3), starting(1)));
  }
  return problems;
}

struct BinaryTypes {
  DType a, b, z;
};

Problem binary_problem(Values& values, Binary op, BinaryTypes types, const Shape& shape, bool scalar, Layout layout) {
  Problem p;
  p.name = fmt::format("op {} {} {} {} {}{}", static_cast<int>(op), name_of(types.a), name_of(types.b),
                       name_of(types.z), to_string(shape), scalar ? " with a scalar" : "");
  p.operands = {in("a", types.a, values.normal(shape), layout),
                in("b", types.b, values.normal(scalar ? Shape{1} : shape), scalar ? Layout{} : layout),
                sum_out("z", types.z, shape, kArithmetic, layout)};
  p.call = [op](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.pointwise.binary(c, {.op = op, .a = v[0], .b = v[1], .z = v[2], .alpha = 0.75, .mode = mode});
  };
  p.op = [op](Tensors t, GradMode mode) -> std::vector<Tensor> {
    if (mode == GradMode::overwrite && t[2].dtype() == t[0].dtype()) return {binary(op, t[0], t[1], 0.75)};
    binary_into(op, t[0], t[1], 0.75, {t[2], mode});
    return {};
  };
  p.flops = 2.0 * static_cast<double>(shape.numel());
  return p;
}

std::vector<Problem> binary_problems(DType dtype) {
  Values values("binary");
  std::vector<Problem> problems;
  std::vector<BinaryTypes> types{{dtype, dtype, dtype}};
  if (dtype != DType::f64) {
    types.push_back({dtype, other(dtype), dtype});
    types.push_back({dtype, dtype, other(dtype)});
  }
  for (const Binary op : {Binary::add, Binary::sub, Binary::mul}) {
    for (const BinaryTypes& t : types) {
      for (const bool scalar : {false, true}) {
        for (const Shape& shape : {Shape{}, {0}, {1}, {19}, {7, 33}, {3, 10923}}) {
          problems.push_back(binary_problem(values, op, t, shape, scalar, {}));
        }
        problems.push_back(binary_problem(values, op, t, {37, 66}, scalar, permuted({1, 0})));
        problems.push_back(binary_problem(values, op, t, {3, 5, 40}, scalar, padded(3)));
        problems.push_back(binary_problem(values, op, t, {3, 5, 40}, scalar, starting(0, padded(16))));
        problems.push_back(binary_problem(values, op, t, {129}, scalar, starting(1)));
      }
    }
  }
  return problems;
}

Problem axpby_problem(Values& values, DType dtype, const Shape& shape) {
  Problem p;
  p.name = to_string(shape);
  p.operands = {in("x", dtype, values.normal(shape)), inout("y", dtype, values.normal(shape), kArithmetic)};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.pointwise.axpby(c, {.x = v[0], .y = v[1], .alpha = 0.3, .beta = 0.7});
  };
  p.op = [](Tensors t, GradMode) -> std::vector<Tensor> {
    axpby(0.3, t[0], 0.7, t[1]);
    return {};
  };
  p.flops = 3.0 * static_cast<double>(shape.numel());
  return p;
}

std::vector<Problem> axpby_problems(DType dtype) {
  Values values("axpby");
  std::vector<Problem> problems;
  for (const Shape& shape : {Shape{}, {0}, {1}, {31}, {7, 33}, {3, 10923}}) {
    problems.push_back(axpby_problem(values, dtype, shape));
  }
  return problems;
}

std::vector<Problem> clamp_problems(DType dtype) {
  Values values("clamp");
  std::vector<Problem> problems;
  for (const Shape& shape : {Shape{}, {0}, {1}, {31}, {7, 33}, {3, 10923}}) {
    Problem p;
    p.name = to_string(shape);
    p.operands = {inout("y", dtype, values.normal(shape, 3), {})};
    p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
      t.pointwise.clamp(c, {.y = v[0], .low = -0.3, .high = 4.6});
    };
    p.op = [](Tensors t, GradMode) -> std::vector<Tensor> {
      clamp(t[0], -0.3, 4.6);
      return {};
    };
    problems.push_back(std::move(p));
  }
  return problems;
}

OpCase unary_case() {
  OpCase c;
  c.name = "unary";
  c.slots = {"pointwise.unary"};
  c.problems = [](DType dtype) { return unary_problems("unary", dtype, unary_problem); };
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values values = Values::shortened("unary benchmark");
    const Shape shape{s.rows(), s.hidden};
    return std::vector{unary_problem(values, Unary::gelu_erf, dtype, shape, {}, {}),
                       unary_problem(values, Unary::exp, dtype, shape, {}, {})};
  };
  c.refusals = {{"integers", ErrorKind::dtype, [] { (void)unary(Unary::exp, Tensor::zeros({2}, DType::i32)); }},
                {"absent", ErrorKind::shape, [] { (void)unary(Unary::exp, {}); }}};
  return c;
}

OpCase unary_grad_case() {
  Values values("unary gradients");
  OpCase c;
  c.name = "unary_grad";
  c.slots = {"pointwise.unary_grad"};
  c.problems = [](DType dtype) { return unary_problems("unary_grad", dtype, unary_grad_problem); };
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("unary_grad benchmark");
    return std::vector{unary_grad_problem(v, Unary::gelu_erf, dtype, {s.rows(), s.hidden}, {}, {})};
  };
  for (const Unary op : kUnaries) {
    c.gradients.push_back(
        {.name = name(op),
         // Not near the corner of relu, where the difference quotient is meaningless.
         .inputs = {{values.uniform({4, 7}, 0.1, 3)}, {values.uniform({4, 7}, -3, -0.1)}},
         .forward = [op](const auto& v,
                         DType) { return autograd::add(autograd::unary(op, v[0]), autograd::unary(op, v[1])); },
         .c = 16});
  }
  const auto call = [](const Tensor& x, const Tensor& dy, const Tensor& dx) {
    return [=] { unary_grad(Unary::relu, x, dy, {dx, GradMode::overwrite}); };
  };
  const Tensor x = Tensor::zeros({2, 3});
  c.refusals = {{"dy of another shape", ErrorKind::shape, call(x, Tensor::zeros({3, 2}), x)},
                {"dx of another shape", ErrorKind::shape, call(x, x, Tensor::zeros({6}))},
                {"dy of another type", ErrorKind::dtype, call(x, Tensor::zeros({2, 3}, DType::bf16), x)}};
  return c;
}

OpCase binary_case() {
  Values values("binary gradients");
  OpCase c;
  c.name = "binary";
  c.slots = {"pointwise.binary"};
  c.problems = binary_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("binary benchmark");
    const Shape shape{s.rows(), s.width};
    return std::vector{binary_problem(v, Binary::add, {dtype, dtype, dtype}, shape, false, {}),
                       binary_problem(v, Binary::mul, {dtype, dtype, dtype}, shape, true, {})};
  };
  for (const Binary op : {Binary::add, Binary::sub, Binary::mul}) {
    for (const bool scalar : {false, true}) {
      c.gradients.push_back(
          {.name = fmt::format("op {}{}", static_cast<int>(op), scalar ? " with a scalar" : ""),
           .inputs = {{values.normal({4, 5})}, {values.normal(scalar ? Shape{} : Shape{4, 5}), scalar}},
           .forward = [op](const auto& v, DType) { return autograd::binary(op, v[0], v[1], 0.75); },
           .k = scalar ? 20.0 : 1.0});
    }
  }
  c.gradients.push_back(
      {.name = "the same operand twice, scaled",
       .inputs = {{values.normal({4, 5})}},
       .forward = [](const auto& v, DType) { return autograd::scale(autograd::mul(v[0], v[0]), 0.4); }});
  c.refusals = {{"shapes differ", ErrorKind::shape,
                 [] {
                   (void)binary(Binary::add, Tensor::zeros({2, 3}), Tensor::zeros({3, 2}));
                 }},
                {"f64 with f32", ErrorKind::dtype,
                 [] { (void)binary(Binary::mul, Tensor::zeros({2}, DType::f64), Tensor::zeros({2})); }},
                {"integers", ErrorKind::dtype,
                 [] { (void)binary(Binary::mul, Tensor::zeros({2}, DType::i32), Tensor::zeros({2})); }},
                {"result of another shape", ErrorKind::shape, [] {
                   binary_into(Binary::sub, Tensor::zeros({2}), Tensor::zeros({2}), 1, {Tensor::zeros({3}), {}});
                 }}};
  return c;
}

OpCase axpby_case() {
  OpCase c;
  c.name = "axpby";
  c.slots = {"pointwise.axpby"};
  c.dtypes = {DType::f32, DType::f64};
  c.problems = axpby_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("axpby benchmark");
    return std::vector{axpby_problem(v, dtype, {s.parameters})};
  };
  c.refusals = {
      {"bf16", ErrorKind::dtype, [] { axpby(1, Tensor::zeros({2}, DType::bf16), 1, Tensor::zeros({2}, DType::bf16)); }},
      {"not contiguous", ErrorKind::shape,
       [] {
         axpby(1, Tensor::zeros({3, 2}).transpose(0, 1), 1, Tensor::zeros({2, 3}));
       }},
      {"shapes differ", ErrorKind::shape, [] { axpby(1, Tensor::zeros({3}), 1, Tensor::zeros({2})); }}};
  return c;
}

OpCase clamp_case() {
  OpCase c;
  c.name = "clamp";
  c.slots = {"pointwise.clamp"};
  c.dtypes = {DType::f32, DType::f64};
  c.problems = clamp_problems;
  c.refusals = {{"bf16", ErrorKind::dtype, [] { clamp(Tensor::zeros({2}, DType::bf16), 0, 1); }},
                {"absent", ErrorKind::shape, [] { clamp({}, 0, 1); }},
                {"not contiguous", ErrorKind::shape, [] {
                   clamp(Tensor::zeros({3, 2}).transpose(0, 1), 0, 1);
                 }}};
  return c;
}

}  // namespace

std::vector<OpCase> pointwise_cases() {
  return {unary_case(), unary_grad_case(), binary_case(), axpby_case(), clamp_case()};
}

}  // namespace tessera::test
