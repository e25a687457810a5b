#include "engine/ops/copy.h"

#include <fmt/format.h>

#include "autograd/ops/pointwise.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

Problem copy_problem(Values& values, const Shape& shape, DType from, DType to, Layout x_layout, Layout y_layout) {
  // Conversions from f32 and bf16 round once. f64 may be rounded twice, and an accumulated sum is rounded in f32.
  const bool exact = from != DType::f64 || to == DType::f64;
  const Tensor x = is_floating(from) ? values.normal(shape) : values.integers(shape, 0, 200);
  Problem p;
  p.name = fmt::format("{} {} to {}{}", to_string(shape), name_of(from), name_of(to),
                       x_layout.dense() && y_layout.dense() ? "" : ", strided");
  const Tolerance tolerance{.c = exact ? 0.0 : 2.0, .floor = 1};
  const bool adds = is_floating(to) && !(from != to && (from == DType::f64 || to == DType::f64));
  p.operands = {in("x", from, x, std::move(x_layout)), adds ? sum_out("y", to, shape, {.c = 2, .floor = 1}, y_layout)
                                                            : out("y", to, shape, tolerance, y_layout)};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.copy.copy(c, {.x = v[0], .y = v[1], .mode = mode});
  };
  if (y_layout.dense()) {
    p.op = [to](Tensors t, GradMode mode) -> std::vector<Tensor> {
      if (mode == GradMode::overwrite) return {t[0].dtype() == to ? contiguous(t[0]) : cast(t[0], to)};
      copy_into(t[0], t[1], mode);
      return {};
    };
  }
  return p;
}

std::vector<Problem> copy_problems(DType dtype) {
  Values values("copy");
  std::vector<Problem> problems;
  for (const DType to : {DType::f32, DType::bf16, DType::f64}) {
    for (const Shape& shape : {Shape{}, {0}, {1}, {17}, {3, 0, 5}, {5, 7}, {2, 3, 4, 5, 3, 2}, {1031}, {3, 10923}}) {
      problems.push_back(copy_problem(values, shape, dtype, to, {}, {}));
    }
    problems.push_back(copy_problem(values, {33, 65}, dtype, to, permuted({1, 0}), {}));
    problems.push_back(copy_problem(values, {130, 70}, dtype, to, padded(3), permuted({1, 0})));
    problems.push_back(copy_problem(values, {3, 5, 7, 11}, dtype, to, permuted({2, 0, 3, 1}), padded(1)));
    problems.push_back(copy_problem(values, {9, 1, 33}, dtype, to, padded(2), padded(5)));
    problems.push_back(copy_problem(values, {9, 40, 3}, dtype, to, starting(0, permuted({2, 0, 1})), {}));
    problems.push_back(copy_problem(values, {19, 64}, dtype, to, starting(0, padded(16)), starting(0, padded(32))));
    problems.push_back(copy_problem(values, {517}, dtype, to, starting(3), {}));
    problems.push_back(copy_problem(values, {67, 129}, dtype, to, permuted({1, 0}), starting(0, padded(6))));
    problems.push_back(copy_problem(values, {3, 35, 2, 40}, dtype, to, permuted({0, 3, 2, 1}), {}));
    problems.push_back(copy_problem(values, {2, 3, 4, 5, 3, 2}, dtype, to, permuted({5, 1, 3, 0, 4, 2}, 1), {}));
  }
  if (dtype != DType::f32) return problems;
  for (const auto& [from, to] : {std::pair{DType::i32, DType::i32},
                                 {DType::i64, DType::i64},
                                 {DType::u8, DType::u8},
                                 {DType::i32, DType::f32},
                                 {DType::i64, DType::f64},
                                 {DType::u8, DType::f32},
                                 {DType::u8, DType::bf16}}) {
    for (const Shape& shape : {Shape{0}, {35}, {7, 130}}) {
      problems.push_back(copy_problem(values, shape, from, to, {}, {}));
      if (shape.rank() == 2) problems.push_back(copy_problem(values, shape, from, to, permuted({1, 0}), padded(3)));
    }
  }
  return problems;
}

Problem fill_problem(const Shape& shape, DType to, double value, const Layout& layout) {
  Problem p;
  p.name = fmt::format("{} {} with {}", to_string(shape), name_of(to), value);
  p.operands = {out("y", to, shape, {}, layout)};
  p.call = [value](Context& c, const KernelTable& t, Views v, GradMode) {
    t.copy.fill(c, {.y = v[0], .value = value});
  };
  p.op = [value, dense = layout.dense()](Tensors t, GradMode) -> std::vector<Tensor> {
    if (dense) return {filled(t[0].shape(), value, t[0].dtype(), t[0].device())};
    fill(t[0], value);
    return {};
  };
  return p;
}

std::vector<Problem> fill_problems(DType dtype) {
  std::vector<Problem> problems;
  const auto add = [&](const Shape& shape, DType to, double value, const Layout& layout) {
    problems.push_back(fill_problem(shape, to, value, layout));
  };
  for (const Shape& shape : {Shape{}, {0}, {1}, {31}, {5, 7}, {3, 10923}}) add(shape, dtype, -0.7, {});
  add({33, 65}, dtype, 3.25, permuted({1, 0}));
  add({3, 5, 7}, dtype, 0.1, padded(3));
  add({3, 64}, dtype, 0.1, starting(0, padded(16)));
  for (const Shape& shape : {Shape{}, {0}, {37}, {5, 7}}) add(shape, dtype, 0, {});
  add({1000}, dtype, -0.0, {});
  add({3, 5, 7}, dtype, 0, padded(3));
  if (dtype == DType::f32) {
    for (const DType to : {DType::i32, DType::i64, DType::u8}) add({37}, to, 7, {});
  }
  return problems;
}

std::vector<Problem> add_diagonal_problems(DType dtype) {
  Values values("add_diagonal");
  std::vector<Problem> problems;
  const auto add = [&](const Shape& shape, double value, const Layout& layout) {
    Problem p;
    p.name = fmt::format("{} and {}", to_string(shape), value);
    Operand y = inout("y", dtype, values.normal(shape), {.c = 2, .floor = 1, .elementwise = true});
    y.layout = layout;
    p.operands = {std::move(y)};
    p.call = [value](Context& c, const KernelTable& t, Views v, GradMode) {
      t.copy.add_diagonal(c, {.y = v[0], .value = value});
    };
    p.op = [value](Tensors t, GradMode) -> std::vector<Tensor> {
      add_diagonal(t[0], value);
      return {};
    };
    problems.push_back(std::move(p));
  };
  for (const Shape& shape : {Shape{0, 0}, {0, 3}, {3, 0}, {1, 1}, {5, 7}, {37, 3}, {300, 300}}) add(shape, 0.7, {});
  add({33, 33}, -1e9, padded(33));
  add({40, 35}, -0.3, permuted({1, 0}, 3));
  return problems;
}

std::vector<Problem> benchmark_copies(DType dtype, const BenchmarkSizes& s) {
  Values values = Values::shortened("copy benchmark");
  const Shape shape{s.rows(), s.width};
  return {copy_problem(values, shape, dtype, dtype, {}, {}), copy_problem(values, shape, dtype, other(dtype), {}, {}),
          copy_problem(values, shape, dtype, dtype, permuted({1, 0}), {})};
}

}  // namespace

std::vector<OpCase> copy_cases() {
  Values values("copy gradients");
  OpCase copy;
  copy.name = "copy";
  copy.slots = {"copy.copy"};
  copy.problems = copy_problems;
  copy.benchmarks = benchmark_copies;
  copy.gradients = {{.name = "reshape",
                     .inputs = {{values.normal({6, 4})}},
                     .forward =
                         [](const auto& v, DType) {
                           return autograd::reshape(v[0], {3, -1});
                         }},
                    {.name = "cast",
                     .inputs = {{values.normal({5, 7})}},
                     .forward = [](const auto& v, DType t) { return autograd::cast(v[0], wide(t)); },
                     .dtypes = {DType::bf16}}};
  copy.refusals = {
      {"shapes differ", ErrorKind::shape,
       [] {
         copy_into(Tensor::empty({2, 3}), Tensor::empty({3, 2}));
       }},
      {"f32 to i32", ErrorKind::dtype, [] { copy_into(Tensor::empty({2}), Tensor::empty({2}, DType::i32)); }},
      {"absent", ErrorKind::shape, [] { copy_into({}, Tensor::empty({2})); }},
      {"a device that is not there", ErrorKind::device,
       [] { copy_into(Tensor::empty({2}, DType::f32, Device::cuda()), Tensor::empty({2})); }},
      {"clone of nothing", ErrorKind::shape, [] { (void)clone(Tensor()); }},
  };
  OpCase fills;
  fills.name = "fill";
  fills.slots = {"copy.fill"};
  fills.problems = fill_problems;
  fills.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    return std::vector{fill_problem({s.rows(), s.width}, dtype, 0, {})};
  };
  fills.refusals = {{"absent", ErrorKind::shape, [] { fill({}, 0); }}};
  OpCase diagonal;
  diagonal.name = "add_diagonal";
  diagonal.slots = {"copy.add_diagonal"};
  diagonal.problems = add_diagonal_problems;
  diagonal.refusals = {{"absent", ErrorKind::shape, [] { add_diagonal({}, 1); }},
                       {"rank 1", ErrorKind::shape, [] { add_diagonal(Tensor::zeros({4}), 1); }},
                       {"integers", ErrorKind::dtype, [] {
                          add_diagonal(Tensor::zeros({2, 2}, DType::i32), 1);
                        }}};
  return {copy, fills, diagonal};
}

}  // namespace tessera::test
