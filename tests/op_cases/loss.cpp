#include "engine/ops/loss.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/ops/loss.h"
#include "engine/ops/copy.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

/// Logits beyond the range of exp in f32 and in f64; in rows of one or two, none may be above zero.
constexpr double kFarSpread = 1000;
const std::vector<Shape> kFarShapes{{64, 1}, {32, 2}, {9, 33}};

/// Logits of a given spread in steps of 1/4, so that equal maxima occur.
Tensor stepped_logits(Values& values, const Shape& shape, double spread) {
  Tensor x = values.normal(shape, spread);
  for (double& v : x.data<double>()) v = std::round(4 * v) / 4;
  return x;
}

/// Rows that sum to one, with most of the weight on two labels, like mixed and smoothed labels.
Tensor mixed_targets(Values& values, const Shape& shape) {
  Tensor targets = Tensor::full(shape, shape[1] > 0 ? 0.1 / static_cast<double>(shape[1]) : 0, DType::f64);
  const Tensor labels = values.integers({shape[0], 2}, 0, shape[1]);
  const Tensor share = values.uniform({shape[0]}, 0, 0.9);
  for (int64_t r = 0; r < shape[0]; ++r) {
    double* row = targets.data<double>().data() + r * shape[1];
    row[labels.data<int32_t>()[static_cast<size_t>(2 * r)]] += share.data<double>()[static_cast<size_t>(r)];
    row[labels.data<int32_t>()[static_cast<size_t>(2 * r + 1)]] += 0.9 - share.data<double>()[static_cast<size_t>(r)];
  }
  return targets;
}

enum class Targets : uint8_t { labels, probabilities };

Problem cross_entropy_problem(Values& values, DType dtype, const Shape& shape, double spread, Targets targets) {
  const DType type = wide(dtype);
  const bool labels = targets == Targets::labels;
  Problem p;
  p.name = fmt::format("{} spread {}, {}", to_string(shape), spread, labels ? "labels" : "probabilities");
  // Probabilities give a term for each column, and sum to one only to the rounding of each of them.
  const double terms = labels ? 4 : static_cast<double>(shape[1]) + 4;
  p.operands = {in("logits", type, stepped_logits(values, shape, spread)),
                labels ? in("targets", DType::i32, values.integers({shape[0]}, 0, shape[1]))
                       : in("targets", type, mixed_targets(values, shape)),
                out("loss", type, {shape[0]}, {.c = 4, .k = terms, .floor = 4 * spread}),
                out("lse", type, {shape[0]}, {.c = 4, .k = 4, .floor = 1}), out("argmax", DType::i32, {shape[0]}, {})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.loss.cross_entropy(c, {.logits = v[0], .targets = v[1], .loss = v[2], .lse = v[3], .argmax = v[4]});
  };
  p.op = [](Tensors t, GradMode) -> std::vector<Tensor> {
    const CrossEntropyResult r = cross_entropy(t[0], t[1]);
    return {r.loss, r.lse, r.argmax};
  };
  p.batch = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}};
  p.flops = (labels ? 4.0 : 6.0) * static_cast<double>(shape.numel());
  return p;
}

Problem cross_entropy_grad_problem(Values& values, DType dtype, const Shape& shape, double spread, Targets targets) {
  const Problem forward = cross_entropy_problem(values, dtype, shape, spread, targets);
  const double level = std::log(static_cast<double>(shape[1] + 1)) + 0.5 * spread;
  const auto saved = values.saved(forward, {{3, {level, 0.1}}});
  const DType type = wide(dtype);
  Problem p;
  p.name = "gradient " + forward.name;
  // exp(logit − lse) carries the rounding of both.
  p.operands = {forward.operands[0], forward.operands[1], in("lse", type, saved[3]),
                in("dloss", type, values.normal({}, 0.1, 1)),
                sum_out("dlogits", type, shape, {.c = 4 + 8 * spread, .floor = 0.25})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.loss.cross_entropy_grad(
        c,
        {.logits = v[0], .targets = v[1], .lse = v[2], .dloss = v[3], .factor = 0.25, .dlogits = v[4], .mode = mode});
  };
  p.op = [](Tensors t, GradMode mode) -> std::vector<Tensor> {
    cross_entropy_grad(t[0], t[1], t[2], t[3], 0.25, {t[4], mode});
    return {};
  };
  p.batch = {{0, 0}, {1, 0}, {2, 0}, {4, 0}};
  p.flops = 5.0 * static_cast<double>(shape.numel());
  return p;
}

std::vector<Problem> cross_entropy_problems(DType dtype) {
  std::vector<Problem> problems;
  const auto add = [&](Values& values, const Shape& shape, double spread, Targets targets) {
    problems.push_back(cross_entropy_problem(values, dtype, shape, spread, targets));
    problems.push_back(cross_entropy_grad_problem(values, dtype, shape, spread, targets));
  };
  const auto add_all = [&](Values& values, const std::vector<Shape>& shapes, Targets targets) {
    for (const Shape& shape : shapes) {
      for (const double spread : {1.0, 40.0}) add(values, shape, spread, targets);
    }
    for (const Shape& shape : kFarShapes) add(values, shape, kFarSpread, targets);
    add(values, {5, 1028}, 1, targets);
  };
  std::vector<Shape> shapes{{0, 5}, {1, 1}, {3, 7}, {17, 33}, {31, 130}, {9, 1000}};
  Values probabilities("soft_cross_entropy");
  add_all(probabilities, shapes, Targets::probabilities);
  shapes.push_back({3, 4099});
  Values labels("cross_entropy");
  add_all(labels, shapes, Targets::labels);
  return problems;
}

}  // namespace

std::vector<OpCase> loss_cases() {
  Values values("cross_entropy gradients");
  const Tensor labels = Tensor::from(std::vector<int32_t>{2, 0, 5, 2}, {4});
  const Tensor targets = mixed_targets(values, {4, 6});
  OpCase c;
  c.name = "cross_entropy";
  c.slots = {"loss.cross_entropy", "loss.cross_entropy_grad"};
  c.dtypes = {DType::f32, DType::f64};
  c.problems = cross_entropy_problems;
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("cross_entropy benchmark");
    const Shape pairs{s.contrast, s.contrast}, classes{s.contrast, s.classes};
    return std::vector{cross_entropy_problem(v, dtype, pairs, 1, Targets::labels),
                       cross_entropy_grad_problem(v, dtype, pairs, 1, Targets::labels),
                       cross_entropy_problem(v, dtype, classes, 1, Targets::probabilities),
                       cross_entropy_grad_problem(v, dtype, classes, 1, Targets::probabilities)};
  };
  c.gradients = {{.name = "logits by labels",
                  .inputs = {{values.normal({4, 6}, 2)}},
                  .forward = [=](const auto& v, DType) { return autograd::cross_entropy(v[0], labels, 0.25).loss; },
                  .c = 16,
                  .dtypes = {DType::f32}},
                 {.name = "logits by probabilities",
                  .inputs = {{values.normal({4, 6}, 2)}},
                  .forward =
                      [=](const auto& v, DType t) {
                        return autograd::cross_entropy(v[0], t == DType::f64 ? targets : cast(targets, t), 0.25).loss;
                      },
                  .c = 16,
                  .dtypes = {DType::f32}}};
  const auto call = [](const Tensor& logits, const Tensor& t) { return [=] { (void)cross_entropy(logits, t); }; };
  const Tensor logits = Tensor::zeros({4, 6});
  const auto short_dlogits = [=](const Tensor& t) {
    return [=] {
      cross_entropy_grad(logits, t, Tensor::zeros({4}), Tensor::zeros({}), 1,
                         {Tensor::zeros({4, 5}), GradMode::overwrite});
    };
  };
  c.refusals = {
      {"a label beyond the classes", ErrorKind::shape, call(Tensor::zeros({4, 5}), labels)},
      {"a negative label", ErrorKind::shape, call(Tensor::zeros({1, 5}), Tensor::from(std::vector<int32_t>{-1}, {1}))},
      {"labels of other rows", ErrorKind::shape, call(Tensor::zeros({3, 6}), labels)},
      {"probabilities of other rows", ErrorKind::shape, call(logits, Tensor::zeros({3, 6}))},
      {"rank with labels", ErrorKind::shape, call(Tensor::zeros({4}), labels)},
      {"rank with probabilities", ErrorKind::shape, call(Tensor::zeros({4}), Tensor::zeros({4}))},
      {"no class", ErrorKind::shape, call(Tensor::zeros({4, 0}), Tensor::zeros({4, 0}))},
      {"strided logits", ErrorKind::shape, call(Tensor::zeros({6, 4}).transpose(0, 1), labels)},
      {"strided probabilities", ErrorKind::shape, call(logits, Tensor::zeros({6, 4}).transpose(0, 1))},
      {"bf16 with labels", ErrorKind::dtype, call(Tensor::zeros({4, 6}, DType::bf16), labels)},
      {"bf16", ErrorKind::dtype, call(Tensor::zeros({4, 6}, DType::bf16), Tensor::zeros({4, 6}, DType::bf16))},
      {"labels in i64", ErrorKind::dtype, call(logits, Tensor::zeros({4}, DType::i64))},
      {"probabilities in f64", ErrorKind::dtype, call(logits, Tensor::zeros({4, 6}, DType::f64))},
      {"dlogits with labels", ErrorKind::shape, short_dlogits(labels)},
      {"dlogits with probabilities", ErrorKind::shape, short_dlogits(logits)}};
  return {c};
}

}  // namespace tessera::test
