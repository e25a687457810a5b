#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/norm.h"
#include "engine/ops/norm.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

constexpr double kEps = 1e-5;
// Some have one column more than a strip, or one row more than blocks of the fixed tree.
const std::vector<Shape> kShapes{{0, 5}, {4, 0}, {1, 1}, {2, 17}, {9, 96}, {257, 33}, {513, 7}, {5, 2049}};

Problem moments_problem(Values& values, DType dtype, const Shape& shape, double mean) {
  const double k = static_cast<double>(shape[0]) + 4;
  Problem p;
  p.name = fmt::format("{} mean {}", to_string(shape), mean);
  p.operands = {in("x", dtype, values.normal(shape, 1.3, mean)),
                out("mean", dtype, {shape[1]}, {.c = 1, .k = k, .floor = 1 + std::abs(mean)}),
                out("variance", dtype, {shape[1]}, {.c = 2, .k = k, .floor = 1})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.norm.column_moments(c, {.x = v[0], .mean = v[1], .variance = v[2]});
  };
  p.op = [](Tensors t, GradMode) -> std::vector<Tensor> {
    const ColumnMoments m = column_moments(t[0]);
    return {m.mean, m.variance};
  };
  p.batch = {{0, 1}, {1, 0}, {2, 0}};
  p.flops = 4.0 * static_cast<double>(shape.numel());
  return p;
}

/// The update of running moments: two calls of axpby.
Problem update_problem(Values& values, DType dtype, int64_t rows, int64_t columns) {
  constexpr double kMomentum = 0.1;
  const double unbiased = kMomentum * static_cast<double>(rows) / static_cast<double>(rows - 1);
  const Tolerance arithmetic{.c = 2, .floor = 1};
  Problem p;
  p.name = fmt::format("running moments of {} rows, {} columns", rows, columns);
  p.operands = {in("mean", dtype, values.normal({columns})), in("variance", dtype, values.uniform({columns}, 0, 2)),
                inout("kept mean", dtype, values.normal({columns}), arithmetic),
                inout("kept variance", dtype, values.uniform({columns}, 0, 2), arithmetic)};
  p.call = [unbiased](Context& c, const KernelTable& t, Views v, GradMode) {
    t.pointwise.axpby(c, {.x = v[0], .y = v[2], .alpha = kMomentum, .beta = 1 - kMomentum});
    t.pointwise.axpby(c, {.x = v[1], .y = v[3], .alpha = unbiased, .beta = 1 - kMomentum});
  };
  p.op = [rows](Tensors t, GradMode) -> std::vector<Tensor> {
    update_moments({t[0], t[1]}, rows, kMomentum, {t[2], t[3]});
    return {};
  };
  p.flops = 6.0 * static_cast<double>(columns);
  return p;
}

std::vector<Problem> moments_problems(DType dtype) {
  Values values("column_moments");
  std::vector<Problem> problems;
  for (const Shape& shape : kShapes) problems.push_back(moments_problem(values, dtype, shape, 0.3));
  problems.push_back(moments_problem(values, dtype, {600, 19}, 1000));
  problems.push_back(update_problem(values, dtype, 2, 33));
  problems.push_back(update_problem(values, dtype, 300, 5));
  return problems;
}

struct Pick {
  Shape shape;
  bool gamma = true, beta = true;  // in the forward: operands; in the backward: gamma, and the gradients wanted
  bool own_moments = true;
  bool dx = true;
};

/// Normalises by the moments of x, or by others.
Problem forward_problem(Values& values, DType dtype, const Pick& pick) {
  const DType type = wide(dtype);
  const Tensor x = values.normal(pick.shape, 1.3, 0.3);
  const std::vector<Tensor> own = values.saved(
      [&] {
        Problem p;
        p.operands = {in("x", type, x), out("mean", type, {pick.shape[1]}, {}),
                      out("variance", type, {pick.shape[1]}, {})};
        p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
          t.norm.column_moments(c, {.x = v[0], .mean = v[1], .variance = v[2]});
        };
        return p;
      }(),
      {{1, {0.3, 0.05}}, {2, {1.69, 0.1}}});
  const Shape row{pick.shape[1]};
  Problem p;
  p.name = fmt::format("{}{}{}{}", to_string(pick.shape), pick.gamma ? " gamma" : "", pick.beta ? " beta" : "",
                       pick.own_moments ? "" : " kept moments");
  p.operands = {in("x", type, x),
                in("mean", type, pick.own_moments ? own[1] : values.normal(row)),
                in("variance", type, pick.own_moments ? own[2] : values.uniform(row, 0.2, 2)),
                pick.gamma ? in("gamma", type, values.normal(row, 0.5, 1)) : absent("gamma"),
                pick.beta ? in("beta", type, values.normal(row)) : absent("beta"),
                out("y", dtype, pick.shape, {.c = 8, .floor = 1}),
                out("rstd", type, row, {.c = 2, .elementwise = true})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.norm.batch_norm(
        c,
        {.x = v[0], .mean = v[1], .variance = v[2], .gamma = v[3], .beta = v[4], .eps = kEps, .y = v[5], .rstd = v[6]});
  };
  p.op = [dtype](Tensors t, GradMode) -> std::vector<Tensor> {
    const BatchNormResult r = batch_norm(t[0], {t[1], t[2]}, t[3], t[4], kEps, dtype);
    return {r.y, r.rstd};
  };
  p.batch = {{0, 0}, {5, 0}};
  p.flops = 4.0 * static_cast<double>(pick.shape.numel());
  return p;
}

Problem backward_problem(Values& values, DType dtype, const Pick& pick) {
  const DType type = wide(dtype);
  Pick whole = pick;
  whole.gamma = whole.beta = true;
  const Problem forward = forward_problem(values, dtype, whole);
  const Tensor rstd = values.saved(forward, {{6, {0.77, 0.02}}})[6];
  double largest = 1;  // a column of two close values is stretched by its rstd
  for (int64_t c = 0; c < pick.shape[1]; ++c) largest = std::max(largest, load(rstd, c));
  const double k = std::max<double>(1, static_cast<double>(pick.shape[0]));
  const Shape row{pick.shape[1]};
  const Tolerance column{.c = 3, .k = k, .floor = 1};
  Problem p;
  p.name = fmt::format("gradient {}{}{}{}{}", to_string(pick.shape), pick.dx ? " dx" : "", pick.gamma ? " dgamma" : "",
                       pick.beta ? " dbeta" : "", pick.own_moments ? "" : " kept moments");
  p.operands = {forward.operands[0],
                pick.gamma ? forward.operands[3] : absent("gamma"),
                forward.operands[1],
                in("rstd", type, rstd),
                in("dy", dtype, values.normal(pick.shape)),
                pick.dx ? sum_out("dx", type, pick.shape, {.c = 4, .k = k, .floor = largest}) : absent("dx"),
                pick.gamma ? sum_out("dgamma", type, row, column) : absent("dgamma"),
                pick.beta ? sum_out("dbeta", type, row, column) : absent("dbeta")};
  p.call = [own = pick.own_moments](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.norm.batch_norm_grad(c, {.x = v[0],
                               .gamma = v[1],
                               .mean = v[2],
                               .rstd = v[3],
                               .dy = v[4],
                               .own_moments = own,
                               .dx = v[5],
                               .dgamma = v[6],
                               .dbeta = v[7],
                               .dx_mode = mode,
                               .gamma_mode = mode,
                               .beta_mode = mode});
  };
  p.op = [own = pick.own_moments](Tensors t, GradMode mode) -> std::vector<Tensor> {
    batch_norm_grad({.x = t[0], .gamma = t[1], .mean = t[2], .rstd = t[3], .dy = t[4]}, own,
                    {.dx = {t[5], mode}, .dgamma = {t[6], mode}, .dbeta = {t[7], mode}});
    return {};
  };
  if (pick.gamma && pick.beta && pick.dx) p.batch = {{0, 1}, {1, 0}, {2, 0}, {3, 0}, {4, 1}, {5, 1}, {6, 0}, {7, 0}};
  p.flops = 10.0 * static_cast<double>(pick.shape.numel());
  return p;
}

std::vector<Problem> batch_norm_problems(DType dtype) {
  Values values("batch_norm");
  std::vector<Problem> problems;
  for (const Shape& shape : kShapes) {
    for (const bool own : {true, false}) {
      problems.push_back(forward_problem(values, dtype, {.shape = shape, .own_moments = own}));
      problems.push_back(backward_problem(values, dtype, {.shape = shape, .own_moments = own}));
    }
  }
  const Shape shape{40, 65};
  problems.push_back(forward_problem(values, dtype, {.shape = shape, .gamma = false, .beta = false}));
  problems.push_back(forward_problem(values, dtype, {.shape = shape, .beta = false}));
  for (const bool own : {true, false}) {
    problems.push_back(
        backward_problem(values, dtype, {.shape = shape, .gamma = false, .beta = false, .own_moments = own}));
    problems.push_back(
        backward_problem(values, dtype, {.shape = shape, .beta = false, .own_moments = own, .dx = false}));
    problems.push_back(
        backward_problem(values, dtype, {.shape = shape, .gamma = false, .own_moments = own, .dx = false}));
  }
  return problems;
}

OpCase moments_case() {
  OpCase c;
  c.name = "column_moments";
  c.slots = {"norm.column_moments"};
  c.dtypes = {DType::f32, DType::f64};
  c.problems = moments_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("column_moments benchmark");
    return std::vector{moments_problem(v, dtype, {s.projector_rows, s.projector}, 0.3)};
  };
  const Tensor row = Tensor::zeros({3});
  c.refusals = {{"bf16", ErrorKind::dtype,
                 [] {
                   (void)column_moments(Tensor::zeros({2, 3}, DType::bf16));
                 }},
                {"rank 1", ErrorKind::shape, [] { (void)column_moments(Tensor::zeros({3})); }},
                {"strided", ErrorKind::shape,
                 [] {
                   (void)column_moments(Tensor::zeros({3, 2}).transpose(0, 1));
                 }},
                {"unbiased variance of one row", ErrorKind::shape,
                 [=] {
                   update_moments({row, row}, 1, 0.1, {row, row});
                 }},
                {"kept variance too short", ErrorKind::shape, [=] {
                   update_moments({row, row}, 4, 0.1, {row, Tensor::zeros({2})});
                 }}};
  return c;
}

std::vector<Gradient> batch_norm_gradients() {
  Values values("batch_norm gradients");
  const Gradient::Input x{values.normal({6, 5}, 1.5, 0.5), true}, gamma{values.normal({5}, 0.5, 1), true},
      beta{values.normal({5}), true};
  const Tensor mean = values.normal({5}), variance = values.uniform({5}, 0.5, 2);
  return {{.name = "own moments",
           .inputs = {x, gamma, beta},
           .forward = [](const auto& v, DType t) { return autograd::batch_norm(v[0], v[1], v[2], kEps, t).y; },
           .c = 16,
           .k = 6},
          {.name = "without gamma and beta",
           .inputs = {x},
           .forward = [](const auto& v, DType t) { return autograd::batch_norm(v[0], {}, {}, kEps, t).y; },
           .c = 16,
           .k = 6},
          {.name = "kept moments",
           .inputs = {x, gamma, beta},
           .forward =
               [mean, variance](const auto& v, DType t) {
                 const ColumnMoments kept{cast(mean, wide(t)), cast(variance, wide(t))};
                 return autograd::batch_norm_by(v[0], kept, v[1], v[2], kEps, t);
               },
           .c = 16,
           .k = 6}};
}

OpCase batch_norm_case() {
  OpCase c;
  c.name = "batch_norm";
  c.slots = {"norm.batch_norm", "norm.batch_norm_grad"};
  c.problems = batch_norm_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("batch_norm benchmark");
    const Pick pick{{s.projector_rows, s.projector}};
    return std::vector{forward_problem(v, dtype, pick), backward_problem(v, dtype, pick)};
  };
  c.gradients = batch_norm_gradients();
  const Tensor x = Tensor::zeros({3, 4});
  const Tensor row = Tensor::zeros({4});
  const auto call = [=](const Tensor& a, const Tensor& variance, const Tensor& gamma, const Tensor& beta, DType out) {
    return [=] { (void)batch_norm(a, {row, variance}, gamma, beta, kEps, out); };
  };
  const auto backward = [=](const Tensor& dy, const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) {
    return [=] {
      batch_norm_grad({.x = x, .gamma = row, .mean = row, .rstd = row, .dy = dy}, true,
                      {.dx = {dx}, .dgamma = {dgamma}, .dbeta = {dbeta}});
    };
  };
  c.refusals = {{"gamma too short", ErrorKind::shape, call(x, row, Tensor::zeros({3}), row, DType::f32)},
                {"beta too long", ErrorKind::shape, call(x, row, row, Tensor::zeros({5}), DType::f32)},
                {"variance too short", ErrorKind::shape, call(x, Tensor::zeros({3}), row, row, DType::f32)},
                {"no variance", ErrorKind::shape, call(x, {}, row, row, DType::f32)},
                {"rank 1", ErrorKind::shape, call(row, row, row, row, DType::f32)},
                {"strided", ErrorKind::shape, call(Tensor::zeros({4, 3}).transpose(0, 1), row, row, row, DType::f32)},
                {"x in bf16", ErrorKind::dtype, call(Tensor::zeros({3, 4}, DType::bf16), row, row, row, DType::f32)},
                {"f64 result of f32", ErrorKind::dtype, call(x, row, row, row, DType::f64)},
                {"dy of another shape", ErrorKind::shape, backward(Tensor::zeros({4, 3}), x, {}, {})},
                {"dy in f64", ErrorKind::dtype, backward(Tensor::zeros({3, 4}, DType::f64), x, {}, {})},
                {"dx of another shape", ErrorKind::shape, backward(x, Tensor::zeros({4, 3}), {}, {})},
                {"dgamma too short", ErrorKind::shape, backward(x, {}, Tensor::zeros({3}), {})},
                {"dbeta in bf16", ErrorKind::dtype, backward(x, {}, {}, Tensor::zeros({4}, DType::bf16))},
                {"a batch of one", ErrorKind::shape, [] {
                   (void)autograd::batch_norm(Tensor::zeros({1, 4}), {}, {}, kEps, DType::f32);
                 }}};
  return c;
}

}  // namespace

std::vector<OpCase> batch_norm_cases() { return {moments_case(), batch_norm_case()}; }

}  // namespace tessera::test
