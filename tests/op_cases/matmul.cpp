#include "engine/ops/matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/matmul.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

struct Product {
  int64_t batch;  // 0: two-dimensional operands
  int64_t m, n, k;
};

Problem product_problem(Values& values, DType dtype, const Product& e, double alpha, Layout a, Layout b, Layout c) {
  const auto shape = [&](int64_t rows, int64_t columns) {
    return e.batch > 0 ? Shape{e.batch, rows, columns} : Shape{rows, columns};
  };
  const auto terms = static_cast<double>(std::max<int64_t>(e.k, 4));
  Problem p;
  p.name = fmt::format("{} x {}x{}x{} times {}{}{}", e.batch, e.m, e.n, e.k, alpha, a.dense() ? "" : ", strided a",
                       b.dense() ? "" : ", strided b");
  p.operands = {in("a", dtype, values.normal(shape(e.m, e.k)), std::move(a)),
                in("b", dtype, values.normal(shape(e.k, e.n)), std::move(b)),
                sum_out("c", wide(dtype), shape(e.m, e.n),
                        {.c = 2, .k = terms, .floor = std::abs(alpha) * std::sqrt(terms) + 1}, c)};
  p.call = [alpha](Context& ctx, const KernelTable& t, Views v, GradMode mode) {
    t.matmul.matmul(ctx, {.a = v[0], .b = v[1], .c = v[2], .alpha = alpha, .mode = mode});
  };
  p.op = [alpha, dense = c.dense()](Tensors t, GradMode mode) -> std::vector<Tensor> {
    if (mode == GradMode::overwrite && dense) return {matmul(t[0], t[1], alpha)};
    matmul_into(t[0], t[1], alpha, {t[2], mode});
    return {};
  };
  const int rows = e.batch > 0 ? 1 : 0;
  p.batch = {{0, rows}, {2, rows}};
  p.flops = 2.0 * static_cast<double>(std::max<int64_t>(e.batch, 1) * e.m * e.n * e.k);
  return p;
}

std::vector<Problem> product_problems(DType dtype) {
  Values values("matmul");
  std::vector<Problem> problems;
  const Layout t2 = permuted({1, 0});
  const Layout t3 = permuted({0, 2, 1});
  for (const Product& e : {Product{0, 0, 3, 4},
                           {0, 3, 0, 4},
                           {0, 3, 4, 0},
                           {0, 1, 1, 1},
                           {0, 13, 37, 5},
                           {0, 14, 32, 64},
                           {0, 67, 130, 101},
                           {0, 17, 34, 1100},
                           {0, 300, 20, 48}}) {
    problems.push_back(product_problem(values, dtype, e, 1, {}, {}, {}));
    problems.push_back(product_problem(values, dtype, e, -0.5, {}, t2, {}));
    problems.push_back(product_problem(values, dtype, e, 1, t2, {}, {}));
  }
  // Several blocks of k, and more columns than partial sums are kept of at a time.
  if (dtype == DType::f32) problems.push_back(product_problem(values, dtype, {2, 1, 1540, 769}, 1, {}, {}, {}));
  const Product odd{0, 47, 71, 53};
  problems.push_back(product_problem(values, dtype, odd, 1, t2, t2, t2));
  problems.push_back(product_problem(values, dtype, odd, 20, padded(3), padded(5), padded(7)));
  for (const Product& e : {Product{1, 5, 7, 3}, {3, 17, 33, 19}, {12, 50, 50, 64}}) {
    problems.push_back(product_problem(values, dtype, e, 1, {}, {}, {}));
    problems.push_back(product_problem(values, dtype, e, 0.125, {}, t3, {}));
    problems.push_back(product_problem(values, dtype, e, 1, t3, {}, {}));
    // Heads of a fused projection: the batch is not the outermost dimension in memory.
    problems.push_back(product_problem(values, dtype, e, 1, permuted({1, 0, 2}), permuted({2, 0, 1}, 2), {}));
  }
  return problems;
}

}  // namespace

std::vector<OpCase> matmul_cases() {
  Values values("matmul gradients");
  OpCase c;
  c.name = "matmul";
  c.slots = {"matmul.matmul"};
  c.problems = product_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("matmul benchmark");
    const Product heads{s.batch * s.heads, s.tokens, s.tokens, 64};
    return std::vector{
        product_problem(v, dtype, {0, s.contrast, s.contrast, s.text_width}, 1, {}, permuted({1, 0}), {}),
        product_problem(v, dtype, {0, s.predicted(), s.text_width, s.width}, 1, {}, {}, {}),
        product_problem(v, dtype, heads, 1, {}, permuted({0, 2, 1}), {})};
  };
  const auto plain = [](const auto& v, DType) { return autograd::matmul(v[0], v[1], 0.5); };
  const auto transposed = [](const auto& v, DType) { return autograd::matmul_transposed(v[0], v[1], 2); };
  c.gradients = {
      {.name = "a b", .inputs = {{values.normal({4, 5})}, {values.normal({5, 3})}}, .forward = plain, .k = 5},
      {.name = "a bT", .inputs = {{values.normal({4, 5})}, {values.normal({3, 5})}}, .forward = transposed, .k = 5},
      {.name = "batched a b",
       .inputs = {{values.normal({2, 3, 4})}, {values.normal({2, 4, 5})}},
       .forward = plain,
       .k = 5},
      {.name = "batched a bT",
       .inputs = {{values.normal({2, 3, 4})}, {values.normal({2, 5, 4})}},
       .forward = transposed,
       .k = 5},
      {.name = "a aT",
       .inputs = {{values.normal({4, 3})}},
       .forward = [](const auto& v, DType) { return autograd::matmul_transposed(v[0], v[0]); },
       .k = 5}};
  const auto call = [](const Tensor& a, const Tensor& b) { return [=] { (void)matmul(a, b); }; };
  c.refusals = {
      {"inner extents", ErrorKind::shape, call(Tensor::zeros({2, 3}), Tensor::zeros({2, 3}))},
      {"ranks", ErrorKind::shape, call(Tensor::zeros({2, 3}), Tensor::zeros({1, 3, 2}))},
      {"rank 1", ErrorKind::shape, call(Tensor::zeros({3}), Tensor::zeros({3}))},
      {"batches", ErrorKind::shape, call(Tensor::zeros({2, 3, 4}), Tensor::zeros({3, 4, 3}))},
      {"types", ErrorKind::dtype, call(Tensor::zeros({2, 3}), Tensor::zeros({3, 2}, DType::bf16))},
      {"integers", ErrorKind::dtype, call(Tensor::zeros({2, 3}, DType::i32), Tensor::zeros({3, 2}, DType::i32))},
      {"a bf16 result", ErrorKind::dtype, [] {
         matmul_into(Tensor::zeros({2, 3}), Tensor::zeros({3, 2}), 1,
                     {Tensor::zeros({2, 2}, DType::bf16), GradMode::overwrite});
       }}};
  return {c};
}

}  // namespace tessera::test
