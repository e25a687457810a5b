#include "engine/ops/reduce.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/ops/reduce.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

/// A sum of k terms of size about 1.
Tolerance sum_of(double k) { return {.c = 2, .k = std::max(k, 1.0), .floor = std::sqrt(std::max(k, 1.0))}; }

Problem sum_problem(Values& values, DType dtype, const Shape& shape, bool weighted, const Layout& layout = {}) {
  Problem p;
  p.name = fmt::format("{}{}", to_string(shape), weighted ? " weighted" : "");
  p.operands = {in("x", dtype, values.normal(shape), layout),
                weighted ? in("w", dtype, values.normal(shape)) : absent("w"),
                sum_out("y", wide(dtype), {}, sum_of(static_cast<double>(shape.numel())))};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.reduce.sum(c, {.x = v[0], .w = v[1], .y = v[2], .alpha = 0.5, .mode = mode});
  };
  p.op = [](Tensors t, GradMode mode) -> std::vector<Tensor> {
    if (mode == GradMode::overwrite) return {t[1] ? dot(t[0], t[1], 0.5) : sum(t[0], 0.5)};
    sum_into(t[0], t[1], 0.5, {t[2], mode});
    return {};
  };
  p.flops = static_cast<double>(shape.numel()) * (weighted ? 2 : 1);
  return p;
}

std::vector<Problem> sum_problems(DType dtype) {
  Values values("sum");
  std::vector<Problem> problems;
  for (const bool weighted : {false, true}) {
    // 4,096 elements make a partial sum.
    for (const Shape& shape : {Shape{}, {0}, {1}, {17}, {13, 29}, {4096}, {4097}, {3, 4096}, {71, 1009}}) {
      problems.push_back(sum_problem(values, dtype, shape, weighted));
    }
    problems.push_back(sum_problem(values, dtype, {5001}, weighted, starting(1)));
  }
  return problems;
}

const std::vector<std::vector<int64_t>> kLengths{
    {}, {0}, {1}, {3, 0, 5, 1}, {258, 7, 0, 257}, std::vector<int64_t>(9, 50), {197, 197}};

std::string lengths_name(const std::vector<int64_t>& lengths, int64_t skip, int64_t width) {
  return fmt::format("{} segments, {} rows, skip {}, width {}", lengths.size(), SegmentTable(lengths).rows(), skip,
                     width);
}

Problem segment_mean_problem(Values& values, DType dtype, const std::vector<int64_t>& lengths, int64_t skip,
                             int64_t width) {
  const SegmentTable segments(lengths);
  Problem p;
  p.name = lengths_name(lengths, skip, width);
  p.operands = {in("x", dtype, values.normal({segments.rows(), width})),
                out("y", dtype, {segments.count(), width}, {.c = 3, .k = 16, .floor = 0.1})};
  p.call = [=](Context& c, const KernelTable& t, Views v, GradMode) {
    t.reduce.segment_mean(c, {.x = v[0], .segments = segments.on(c.device()), .skip = skip, .y = v[1]});
  };
  p.op = [=](Tensors t, GradMode) -> std::vector<Tensor> { return {segment_mean(t[0], segments, skip)}; };
  p.flops = static_cast<double>(segments.rows() * width);
  return p;
}

Problem segment_mean_grad_problem(Values& values, DType dtype, const std::vector<int64_t>& lengths, int64_t skip,
                                  int64_t width) {
  const SegmentTable segments(lengths);
  Problem p;
  p.name = lengths_name(lengths, skip, width);
  p.operands = {in("dy", dtype, values.normal({segments.count(), width})),
                sum_out("dx", dtype, {segments.rows(), width}, {.c = 3})};
  p.call = [=](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.reduce.segment_mean_grad(
        c, {.dy = v[0], .segments = segments.on(c.device()), .skip = skip, .dx = v[1], .mode = mode});
  };
  p.op = [=](Tensors t, GradMode mode) -> std::vector<Tensor> {
    segment_mean_grad(t[0], segments, skip, {t[1], mode});
    return {};
  };
  p.flops = static_cast<double>(segments.count() * width);
  return p;
}

template <class Make>
std::vector<Problem> segment_problems(const char* purpose, DType dtype, const Make& make) {
  Values values(purpose);
  std::vector<Problem> problems;
  for (const auto& lengths : kLengths) {
    for (const int64_t skip : {0, 1}) {
      for (const int64_t width : {1, 37, 96}) problems.push_back(make(values, dtype, lengths, skip, width));
    }
  }
  problems.push_back(make(values, dtype, std::vector<int64_t>{2, 3}, 1, 0));
  return problems;
}

OpCase sum_case() {
  Values values("sum gradients");
  OpCase c;
  c.name = "sum";
  c.slots = {"reduce.sum"};
  c.problems = sum_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("sum benchmark");
    const Shape shape{s.rows(), s.width};
    return std::vector{sum_problem(v, dtype, shape, false), sum_problem(v, dtype, shape, true)};
  };
  c.gradients = {{.name = "sum",
                  .inputs = {{values.normal({3, 5})}},
                  .forward = [](const auto& v, DType) { return autograd::sum(v[0], 0.25); },
                  .k = 15}};
  c.refusals = {
      {"not contiguous", ErrorKind::shape,
       [] {
         (void)sum(Tensor::zeros({3, 2}).transpose(0, 1));
       }},
      {"weights of another shape", ErrorKind::shape, [] { (void)dot(Tensor::zeros({3}), Tensor::zeros({2})); }},
      {"weights of another type", ErrorKind::dtype,
       [] { (void)dot(Tensor::zeros({3}), Tensor::zeros({3}, DType::bf16)); }},
      {"integers", ErrorKind::dtype, [] { (void)sum(Tensor::zeros({3}, DType::i32)); }},
      {"a result that is no scalar", ErrorKind::shape, [] {
         sum_into(Tensor::zeros({3}), {}, 1, {Tensor::zeros({2}), GradMode::overwrite});
       }}};
  return c;
}

OpCase segment_mean_case() {
  Values values("segment_mean gradients");
  OpCase c;
  c.name = "segment_mean";
  c.slots = {"reduce.segment_mean", "reduce.segment_mean_grad"};
  c.problems = [](DType dtype) {
    auto problems = segment_problems("segment_mean", dtype, segment_mean_problem);
    for (Problem& p : segment_problems("segment_mean_grad", dtype, segment_mean_grad_problem)) {
      p.name = "gradient, " + p.name;
      problems.push_back(std::move(p));
    }
    return problems;
  };
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("segment_mean benchmark");
    const std::vector<int64_t> lengths(static_cast<size_t>(s.batch), s.tokens);
    return std::vector{segment_mean_problem(v, dtype, lengths, 1, s.width),
                       segment_mean_grad_problem(v, dtype, lengths, 1, s.width)};
  };
  c.gradients = {{.name = "ragged", .inputs = {{values.normal({9, 4})}}, .forward = [](const auto& v, DType) {
                    return autograd::segment_mean(v[0], SegmentTable(std::vector<int64_t>{3, 0, 5, 1}), 1);
                  }}};
  const auto table = SegmentTable::uniform(2, 3);
  c.refusals = {
      {"rows not covered", ErrorKind::shape,
       [=] {
         (void)segment_mean(Tensor::zeros({5, 2}), table);
       }},
      {"not contiguous", ErrorKind::shape,
       [=] {
         (void)segment_mean(Tensor::zeros({2, 6}).transpose(0, 1), table);
       }},
      {"integers", ErrorKind::dtype,
       [=] {
         (void)segment_mean(Tensor::zeros({6, 2}, DType::i32), table);
       }},
      {"gradient of another type", ErrorKind::dtype, [=] {
         segment_mean_grad(Tensor::zeros({2, 2}, DType::bf16), table, 0, {Tensor::zeros({6, 2}), GradMode::overwrite});
       }}};
  return c;
}

}  // namespace

std::vector<OpCase> reduce_cases() { return {sum_case(), segment_mean_case()}; }

}  // namespace tessera::test
