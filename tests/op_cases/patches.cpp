#include "engine/ops/patches.h"

#include <fmt/format.h>

#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

Problem patchify_problem(Values& values, DType dtype, const Shape& images, int64_t patch) {
  const int64_t count = images[0] * (images[2] / patch) * (images[3] / patch);
  Problem p;
  p.name = fmt::format("{} in patches of {}", to_string(images), patch);
  p.operands = {in("images", wide(dtype), values.normal(images)),
                out("patches", dtype, {count, images[1] * patch * patch}, {})};
  p.call = [patch](Context& c, const KernelTable& t, Views v, GradMode) {
    t.patches.patchify(c, {.images = v[0], .patch = patch, .patches = v[1]});
  };
  p.op = [=](Tensors t, GradMode) -> std::vector<Tensor> { return {patchify(t[0], patch, dtype)}; };
  return p;
}

std::vector<Problem> patchify_problems(DType dtype) {
  Values values("patchify");
  std::vector<Problem> problems;
  for (const auto& [images, patch] : {std::pair<Shape, int64_t>{{0, 3, 4, 4}, 2},
                                      {{1, 1, 1, 1}, 1},
                                      {{2, 3, 4, 6}, 2},
                                      {{2, 3, 9, 15}, 3},
                                      {{1, 2, 35, 21}, 7},
                                      {{2, 3, 32, 48}, 16},
                                      {{2, 3, 28, 42}, 14},
                                      {{1, 3, 5, 7}, 1},
                                      {{3, 1, 37, 37}, 37},
                                      {{2, 3, 0, 8}, 4}}) {
    problems.push_back(patchify_problem(values, dtype, images, patch));
  }
  return problems;
}

}  // namespace

std::vector<OpCase> patches_cases() {
  OpCase c;
  c.name = "patchify";
  c.slots = {"patches.patchify"};
  c.problems = patchify_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("patchify benchmark");
    return std::vector{patchify_problem(v, dtype, {s.batch, 3, s.image, s.image}, s.patch)};
  };
  c.refusals = {{"height", ErrorKind::shape,
                 [] {
                   (void)patchify(Tensor::zeros({1, 3, 5, 4}), 4, DType::f32);
                 }},
                {"rank", ErrorKind::shape,
                 [] {
                   (void)patchify(Tensor::zeros({3, 4, 4}), 4, DType::f32);
                 }},
                {"a patch of 0", ErrorKind::shape,
                 [] {
                   (void)patchify(Tensor::zeros({1, 3, 4, 4}), 0, DType::f32);
                 }},
                {"channels last", ErrorKind::shape,
                 [] {
                   (void)patchify(Tensor::zeros({1, 3, 4, 4}).transpose(2, 3), 4, DType::f32);
                 }},
                {"bytes", ErrorKind::dtype,
                 [] {
                   (void)patchify(Tensor::zeros({1, 3, 4, 4}, DType::u8), 4, DType::f32);
                 }},
                {"f64 patches of f32", ErrorKind::dtype, [] {
                   (void)patchify(Tensor::zeros({1, 3, 4, 4}), 4, DType::f64);
                 }}};
  return {c};
}

}  // namespace tessera::test
