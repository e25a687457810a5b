#include "engine/ops/norm.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/ops/norm.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

constexpr double kEps = 1e-6;
// Among them widths that a processor or a device keeps in registers, and some that it does not.
const std::vector<Shape> kShapes{{0, 5},   {1, 1},   {3, 17},  {5, 96},   {67, 193}, {257, 64},
                                 {9, 300}, {6, 509}, {5, 768}, {3, 1024}, {3, 1028}, {2, 4099}};

struct NormPick {
  Shape shape;
  double mean = 0.3;
  bool dx = true, dgamma = true, dbeta = true;
  Layout layout{};  // of x, y and their gradients
};

/// Dense rows that begin one element after a multiple of 16 bytes.
const Layout kShifted = padded(2, 0);

Problem layer_norm_problem(Values& values, DType dtype, const NormPick& pick) {
  const DType type = wide(dtype);
  const int64_t rows = pick.shape[0];
  const int64_t width = pick.shape[1];
  Problem p;
  p.name = fmt::format("{} mean {}", to_string(pick.shape), pick.mean);
  // The mean carries the rounding of the row's largest numbers into every element.
  const double spread = 1 + std::abs(pick.mean);
  const double k = static_cast<double>(width) + 4;
  p.operands = {in("x", type, values.normal(pick.shape, 1.3, pick.mean), pick.layout),
                in("gamma", type, values.normal({width}, 0.5, 1)),
                in("beta", type, values.normal({width})),
                out("y", dtype, pick.shape, {.c = 2, .k = k, .floor = spread}, pick.layout),
                out("mean", type, {rows}, {.c = 1, .k = k, .floor = spread}),
                out("rstd", type, {rows}, {.c = 2, .k = k, .elementwise = true})};
  if (width == 1) p.operands[5].tolerance.floor = 1;
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.norm.layer_norm(c, {.x = v[0], .gamma = v[1], .beta = v[2], .eps = kEps, .y = v[3], .mean = v[4], .rstd = v[5]});
  };
  p.op = [dtype](Tensors t, GradMode) -> std::vector<Tensor> {
    const LayerNormResult r = layer_norm(t[0], t[1], t[2], kEps, dtype);
    return {r.y, r.mean, r.rstd};
  };
  p.batch = {{0, 0}, {3, 0}, {4, 0}, {5, 0}};
  p.flops = 8.0 * static_cast<double>(pick.shape.numel());
  return p;
}

Problem layer_norm_grad_problem(Values& values, DType dtype, const NormPick& pick) {
  const DType type = wide(dtype);
  const auto rows = static_cast<double>(pick.shape[0]);
  const double k = static_cast<double>(pick.shape[1]) + 4;
  const Problem forward = layer_norm_problem(values, dtype, pick);
  const auto saved = values.saved(forward, {{4, {pick.mean, 0.05}}, {5, {0.77, 0.02}}});
  const Tolerance column{.c = 3, .k = std::max(rows, 1.0), .floor = 1};
  Problem p;
  p.name = fmt::format("{}{}{}{}", to_string(pick.shape), pick.dx ? " dx" : "", pick.dgamma ? " dgamma" : "",
                       pick.dbeta ? " dbeta" : "");
  p.operands = {forward.operands[0],
                forward.operands[1],
                in("mean", type, saved[4]),
                in("rstd", type, saved[5]),
                in("dy", dtype, values.normal(pick.shape), pick.layout),
                pick.dx ? sum_out("dx", type, pick.shape, {.c = 2, .k = k, .floor = 1}, pick.layout) : absent("dx"),
                pick.dgamma ? sum_out("dgamma", type, {pick.shape[1]}, column) : absent("dgamma"),
                pick.dbeta ? sum_out("dbeta", type, {pick.shape[1]}, column) : absent("dbeta")};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.norm.layer_norm_grad(c, {.x = v[0],
                               .gamma = v[1],
                               .mean = v[2],
                               .rstd = v[3],
                               .dy = v[4],
                               .dx = v[5],
                               .dgamma = v[6],
                               .dbeta = v[7],
                               .dx_mode = mode,
                               .gamma_mode = mode,
                               .beta_mode = mode});
  };
  p.op = [](Tensors t, GradMode mode) -> std::vector<Tensor> {
    layer_norm_grad({.x = t[0], .gamma = t[1], .mean = t[2], .rstd = t[3], .dy = t[4]},
                    {.dx = {t[5], mode}, .dgamma = {t[6], mode}, .dbeta = {t[7], mode}});
    return {};
  };
  if (pick.dx && !pick.dgamma && !pick.dbeta) p.batch = {{0, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}};
  p.flops = 14.0 * static_cast<double>(pick.shape.numel());
  return p;
}

std::vector<Problem> layer_norm_problems(DType dtype) {
  Values values("layer_norm");
  std::vector<Problem> problems;
  for (const Shape& shape : kShapes) {
    problems.push_back(layer_norm_problem(values, dtype, {shape}));
    problems.push_back(layer_norm_grad_problem(values, dtype, {shape}));
  }
  problems.push_back(layer_norm_problem(values, dtype, {.shape = {9, 768}, .mean = 1000}));
  problems.push_back(layer_norm_grad_problem(values, dtype, {.shape = {40, 65}, .dgamma = false, .dbeta = false}));
  problems.push_back(layer_norm_grad_problem(values, dtype, {.shape = {40, 65}, .dx = false, .dbeta = false}));
  problems.push_back(layer_norm_grad_problem(values, dtype, {.shape = {40, 65}, .dx = false, .dgamma = false}));
  problems.push_back(layer_norm_grad_problem(values, dtype, {.shape = {513, 33}}));
  for (const Shape& shape : {Shape{9, 64}, Shape{3, 1028}}) {
    problems.push_back(layer_norm_problem(values, dtype, {.shape = shape, .layout = kShifted}));
    problems.push_back(layer_norm_grad_problem(values, dtype, {.shape = shape, .layout = kShifted}));
  }
  return problems;
}

Problem l2_problem(Values& values, DType dtype, const Shape& shape, double scale) {
  const double k = static_cast<double>(shape[1]) + 4;
  Problem p;
  p.name = fmt::format("{} scale {}", to_string(shape), scale);
  p.operands = {in("x", dtype, values.normal(shape, scale)), out("y", dtype, shape, {.c = 1, .k = k, .floor = 1e-3}),
                out("norm", dtype, {shape[0]}, {.c = 1, .k = k, .elementwise = true})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.norm.l2_normalize(c, {.x = v[0], .y = v[1], .norm = v[2]});
  };
  p.op = [](Tensors t, GradMode) -> std::vector<Tensor> {
    const L2NormalizeResult r = l2_normalize(t[0]);
    return {r.y, r.norm};
  };
  p.batch = {{0, 0}, {1, 0}, {2, 0}};
  p.flops = 3.0 * static_cast<double>(shape.numel());
  return p;
}

Problem l2_grad_problem(Values& values, DType dtype, const Shape& shape, double scale) {
  const Problem forward = l2_problem(values, dtype, shape, scale);
  const double length = scale * std::sqrt(static_cast<double>(shape[1]));
  const auto saved = values.saved(forward, {{1, {0, scale / (length + 1e-12)}}, {2, {length, 0.02 * length}}});
  const double k = static_cast<double>(shape[1]) + 4;
  Problem p;
  p.name = fmt::format("gradient {} scale {}", to_string(shape), scale);
  p.operands = {in("y", dtype, saved[1]), in("norm", dtype, saved[2]), in("dy", dtype, values.normal(shape)),
                sum_out("dx", dtype, shape, {.c = 2, .k = k, .floor = 1e-3})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.norm.l2_normalize_grad(c, {.y = v[0], .norm = v[1], .dy = v[2], .dx = v[3], .mode = mode});
  };
  p.op = [](Tensors t, GradMode mode) -> std::vector<Tensor> {
    l2_normalize_grad(t[0], t[1], t[2], {t[3], mode});
    return {};
  };
  p.batch = {{0, 0}, {1, 0}, {2, 0}, {3, 0}};
  p.flops = 5.0 * static_cast<double>(shape.numel());
  return p;
}

std::vector<Problem> l2_problems(DType dtype) {
  Values values("l2_normalize");
  std::vector<Problem> problems;
  for (const Shape& shape : kShapes) {
    problems.push_back(l2_problem(values, dtype, shape, 2));
    problems.push_back(l2_grad_problem(values, dtype, shape, 2));
  }
  // Rows whose norm is below 1e-12 are divided by 1e-12.
  problems.push_back(l2_problem(values, dtype, {3, 17}, 1e-14));
  problems.push_back(l2_grad_problem(values, dtype, {3, 17}, 1e-14));
  problems.push_back(l2_problem(values, dtype, {2, 5}, 0));
  problems.push_back(l2_grad_problem(values, dtype, {2, 5}, 0));
  return problems;
}

OpCase layer_norm_case() {
  Values values("layer_norm gradients");
  OpCase c;
  c.name = "layer_norm";
  c.slots = {"norm.layer_norm", "norm.layer_norm_grad"};
  c.problems = layer_norm_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("layer_norm benchmark");
    const Shape shape{s.rows(), s.width};
    return std::vector{layer_norm_problem(v, dtype, {shape}), layer_norm_grad_problem(v, dtype, {shape})};
  };
  c.gradients = {{.name = "x, gamma, beta",
                  .inputs = {{values.normal({4, 7}, 1.5, 0.5), true},
                             {values.normal({7}, 0.5, 1), true},
                             {values.normal({7}), true}},
                  .forward = [](const auto& v, DType t) { return autograd::layer_norm(v[0], v[1], v[2], kEps, t); },
                  .c = 8,
                  .k = 7}};
  const Tensor x = Tensor::zeros({3, 4});
  const Tensor g = Tensor::zeros({4});
  const auto call = [](const Tensor& a, const Tensor& gamma, const Tensor& beta, DType out) {
    return [=] { (void)layer_norm(a, gamma, beta, kEps, out); };
  };
  const Tensor saved = Tensor::zeros({3});
  const auto backward = [=](const Tensor& dy, const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) {
    return [=] {
      layer_norm_grad({.x = x, .gamma = g, .mean = saved, .rstd = saved, .dy = dy},
                      {.dx = {dx}, .dgamma = {dgamma}, .dbeta = {dbeta}});
    };
  };
  c.refusals = {{"gamma too short", ErrorKind::shape, call(x, Tensor::zeros({3}), g, DType::f32)},
                {"beta too long", ErrorKind::shape, call(x, g, Tensor::zeros({5}), DType::f32)},
                {"rank 3", ErrorKind::shape, call(Tensor::zeros({2, 3, 4}), g, g, DType::f32)},
                {"strided", ErrorKind::shape, call(Tensor::zeros({4, 3}).transpose(0, 1), g, g, DType::f32)},
                {"x in bf16", ErrorKind::dtype, call(Tensor::zeros({3, 4}, DType::bf16), g, g, DType::f32)},
                {"f64 result of f32", ErrorKind::dtype, call(x, g, g, DType::f64)},
                {"dgamma too short", ErrorKind::shape, backward(x, {}, Tensor::zeros({3}), {})},
                {"dbeta too long", ErrorKind::shape, backward(x, {}, {}, Tensor::zeros({5}))},
                {"dx of another shape", ErrorKind::shape, backward(x, Tensor::zeros({4, 3}), {}, {})},
                {"dy of another shape", ErrorKind::shape, backward(Tensor::zeros({4, 3}), x, {}, {})},
                {"dy in f64", ErrorKind::dtype, backward(Tensor::zeros({3, 4}, DType::f64), x, {}, {})},
                {"dx in bf16", ErrorKind::dtype, backward(x, Tensor::zeros({3, 4}, DType::bf16), {}, {})},
                {"dgamma in bf16", ErrorKind::dtype, backward(x, {}, Tensor::zeros({4}, DType::bf16), {})},
                {"dbeta in f64", ErrorKind::dtype, backward(x, {}, {}, Tensor::zeros({4}, DType::f64))},
                {"mean too short", ErrorKind::shape, [=] {
                   layer_norm_grad({.x = x, .gamma = g, .mean = Tensor::zeros({2}), .rstd = saved, .dy = x},
                                   {.dx = {Tensor::zeros({3, 4})}});
                 }}};
  return c;
}

OpCase l2_case() {
  Values values("l2 gradients");
  OpCase c;
  c.name = "l2_normalize";
  c.slots = {"norm.l2_normalize", "norm.l2_normalize_grad"};
  c.dtypes = {DType::f32, DType::f64};
  c.problems = l2_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("l2_normalize benchmark");
    const Shape shape{s.predicted(), s.text_width};
    return std::vector{l2_problem(v, dtype, shape, 2), l2_grad_problem(v, dtype, shape, 2)};
  };
  c.gradients = {{.name = "rows",
                  .inputs = {{values.normal({4, 6}, 2)}},
                  .forward = [](const auto& v, DType) { return autograd::l2_normalize(v[0]); },
                  .k = 6,
                  .dtypes = {DType::f32}}};
  c.refusals = {{"bf16", ErrorKind::dtype,
                 [] {
                   (void)l2_normalize(Tensor::zeros({2, 3}, DType::bf16));
                 }},
                {"rank 1", ErrorKind::shape, [] { (void)l2_normalize(Tensor::zeros({3})); }},
                {"strided", ErrorKind::shape,
                 [] {
                   (void)l2_normalize(Tensor::zeros({3, 2}).transpose(0, 1));
                 }},
                {"dy of another shape", ErrorKind::shape, [] {
                   l2_normalize_grad(Tensor::zeros({2, 3}), Tensor::zeros({2}), Tensor::zeros({3, 2}),
                                     {Tensor::zeros({2, 3}), GradMode::overwrite});
                 }}};
  return c;
}

}  // namespace

std::vector<OpCase> norm_cases() { return {layer_norm_case(), l2_case()}; }

}  // namespace tessera::test
