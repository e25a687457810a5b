#include "engine/ops/loss.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/loss.h"
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

Problem cross_entropy_problem(Values& values, DType dtype, const Shape& shape, double spread) {
  const DType type = wide(dtype);
  Problem p;
  p.name = fmt::format("{} spread {}", to_string(shape), spread);
  const Tolerance near{.c = 4, .k = 4, .floor = 1};
  p.operands = {in("logits", type, stepped_logits(values, shape, spread)),
                in("labels", DType::i32, values.integers({shape[0]}, 0, shape[1])),
                out("loss", type, {shape[0]}, {.c = 4, .k = 4, .floor = 4 * spread}),
                out("lse", type, {shape[0]}, near), out("argmax", DType::i32, {shape[0]}, {})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.loss.cross_entropy(c, {v[0], v[1], v[2], v[3], v[4]});
  };
  p.op = [](Tensors t, GradMode) -> std::vector<Tensor> {
    const CrossEntropyResult r = cross_entropy(t[0], t[1]);
    return {r.loss, r.lse, r.argmax};
  };
  p.batch = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}};
  return p;
}

Problem cross_entropy_grad_problem(Values& values, DType dtype, const Shape& shape, double spread) {
  const Problem forward = cross_entropy_problem(values, dtype, shape, spread);
  const auto saved = reference_results(forward);
  const DType type = wide(dtype);
  Problem p;
  p.name = "gradient " + forward.name;
  // exp(logit − lse) carries the rounding of both.
  p.operands = {forward.operands[0], forward.operands[1], in("lse", type, saved[3]),
                in("dloss", type, values.normal({}, 0.1, 1)),
                sum_out("dlogits", type, shape, {.c = 4 + 8 * spread, .floor = 0.25})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.loss.cross_entropy_grad(c, {v[0], v[1], v[2], v[3], 0.25, v[4], mode});
  };
  p.op = [](Tensors t, GradMode mode) -> std::vector<Tensor> {
    cross_entropy_grad(t[0], t[1], t[2], t[3], 0.25, {t[4], mode});
    return {};
  };
  p.batch = {{0, 0}, {1, 0}, {2, 0}, {4, 0}};
  return p;
}

std::vector<Problem> cross_entropy_problems(DType dtype) {
  Values values("cross_entropy");
  std::vector<Problem> problems;
  const auto add = [&](const Shape& shape, double spread) {
    problems.push_back(cross_entropy_problem(values, dtype, shape, spread));
    problems.push_back(cross_entropy_grad_problem(values, dtype, shape, spread));
  };
  for (const Shape& shape : {Shape{0, 5}, {1, 1}, {3, 7}, {17, 33}, {31, 130}, {9, 1000}, {3, 4099}}) {
    for (const double spread : {1.0, 40.0}) add(shape, spread);
  }
  for (const Shape& shape : kFarShapes) add(shape, kFarSpread);
  return problems;
}

/// Rows that sum to one: most of the weight on two labels, as mixed and smoothed labels have it.
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

Problem soft_cross_entropy_problem(Values& values, DType dtype, const Shape& shape, double spread) {
  const DType type = wide(dtype);
  Problem p;
  p.name = fmt::format("{} spread {}", to_string(shape), spread);
  // A term a column; targets sum to one only to the rounding of each of them.
  const Tolerance near{.c = 4, .k = static_cast<double>(shape[1]) + 4, .floor = 4 * spread};
  p.operands = {in("logits", type, stepped_logits(values, shape, spread)),
                in("targets", type, mixed_targets(values, shape)), out("loss", type, {shape[0]}, near),
                out("lse", type, {shape[0]}, {.c = 4, .k = 4, .floor = 1})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode) {
    t.loss.soft_cross_entropy(c, {v[0], v[1], v[2], v[3]});
  };
  p.op = [](Tensors t, GradMode) -> std::vector<Tensor> {
    const SoftCrossEntropyResult r = soft_cross_entropy(t[0], t[1]);
    return {r.loss, r.lse};
  };
  p.batch = {{0, 0}, {1, 0}, {2, 0}, {3, 0}};
  return p;
}

Problem soft_cross_entropy_grad_problem(Values& values, DType dtype, const Shape& shape, double spread) {
  const Problem forward = soft_cross_entropy_problem(values, dtype, shape, spread);
  const auto saved = reference_results(forward);
  const DType type = wide(dtype);
  Problem p;
  p.name = "gradient " + forward.name;
  p.operands = {forward.operands[0], forward.operands[1], in("lse", type, saved[3]),
                in("dloss", type, values.normal({}, 0.1, 1)),
                sum_out("dlogits", type, shape, {.c = 4 + 8 * spread, .floor = 0.25})};
  p.call = [](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.loss.soft_cross_entropy_grad(c, {v[0], v[1], v[2], v[3], 0.25, v[4], mode});
  };
  p.op = [](Tensors t, GradMode mode) -> std::vector<Tensor> {
    soft_cross_entropy_grad(t[0], t[1], t[2], t[3], 0.25, {t[4], mode});
    return {};
  };
  p.batch = {{0, 0}, {1, 0}, {2, 0}, {4, 0}};
  return p;
}

std::vector<Problem> soft_cross_entropy_problems(DType dtype) {
  Values values("soft_cross_entropy");
  std::vector<Problem> problems;
  const auto add = [&](const Shape& shape, double spread) {
    problems.push_back(soft_cross_entropy_problem(values, dtype, shape, spread));
    problems.push_back(soft_cross_entropy_grad_problem(values, dtype, shape, spread));
  };
  for (const Shape& shape : {Shape{0, 5}, {1, 1}, {3, 7}, {17, 33}, {31, 130}, {9, 1000}}) {
    for (const double spread : {1.0, 40.0}) add(shape, spread);
  }
  for (const Shape& shape : kFarShapes) add(shape, kFarSpread);
  return problems;
}

constexpr Temperatures kTemperatures{.student = 0.1, .teacher = 0.04};

struct PatchSentence {
  int64_t rows, sentences, width;
  Temperatures at = kTemperatures;
};

/// The rounding of a logit is a relative error of its probability: 1 at the usual temperatures, more at lower ones.
double coldness(Temperatures at) { return std::max(1.0, 2 * kTemperatures.teacher / at.teacher - 1); }

Tensor row_weights(Values& values, int64_t rows) {
  Tensor weight = values.uniform({rows}, 0.1, 1);
  for (int64_t r = 2; r < rows; r += 5) weight.data<double>()[static_cast<size_t>(r)] = 0;
  return weight;
}

Problem patch_sentence_problem(Values& values, DType dtype, const PatchSentence& e) {
  const DType type = wide(dtype);
  Problem p;
  p.name =
      fmt::format("{} rows, {} sentences of {} at {} and {}", e.rows, e.sentences, e.width, e.at.student, e.at.teacher);
  // Logits reach 1 / temperature, and so do their errors.
  const Tolerance near{.c = 2, .k = static_cast<double>(e.width) + 4, .floor = 1 / e.at.teacher};
  Tolerance product = near;  // of a probability and a difference of logits
  product.c *= coldness(e.at);
  p.operands = {in("student", dtype, values.unit_rows({e.rows, e.width})),
                in("teacher", dtype, values.unit_rows({e.rows, e.width})),
                in("sentences", dtype, values.unit_rows({e.sentences, e.width})),
                in("weight", type, row_weights(values, e.rows)),
                out("loss", type, {e.rows}, product),
                out("lse_student", type, {e.rows}, near),
                out("lse_teacher", type, {e.rows}, near)};
  p.call = [at = e.at](Context& c, const KernelTable& t, Views v, GradMode) {
    t.loss.patch_sentence(c, {v[0], v[1], v[2], v[3], at.student, at.teacher, v[4], v[5], v[6]});
  };
  p.op = [at = e.at](Tensors t, GradMode) -> std::vector<Tensor> {
    const PatchSentenceResult r = patch_sentence(t[0], t[1], t[2], t[3], at);
    return {r.loss, r.lse_student, r.lse_teacher};
  };
  p.batch = {{0, 0}, {1, 0}, {3, 0}, {4, 0}, {5, 0}, {6, 0}};
  p.flops = 4.0 * static_cast<double>(e.rows * e.sentences * e.width);
  return p;
}

Problem patch_sentence_grad_problem(Values& values, DType dtype, const PatchSentence& e, bool student, bool sentences) {
  const Problem forward = patch_sentence_problem(values, dtype, e);
  const auto saved = reference_results(forward);
  const DType type = wide(dtype);
  // A probability's error is that of its logit; the factor is 1 / temperature of the student.
  const auto sum_of = [&](int64_t terms) {
    return Tolerance{.c = 4 * coldness(e.at), .k = static_cast<double>(terms) + 4, .floor = 1 / e.at.student};
  };
  Problem p;
  p.name = fmt::format("gradient of{}{}, {}", student ? " student" : "", sentences ? " sentences" : "", forward.name);
  p.operands = {
      forward.operands[0],
      forward.operands[1],
      forward.operands[2],
      forward.operands[3],
      in("lse_student", type, saved[5]),
      in("lse_teacher", type, saved[6]),
      in("dloss", type, values.normal({}, 0.1, 1)),
      student ? sum_out("dstudent", type, {e.rows, e.width}, sum_of(e.width)) : absent("dstudent"),
      sentences ? sum_out("dsentences", type, {e.sentences, e.width}, sum_of(e.width + e.rows)) : absent("dsentences")};
  p.call = [at = e.at](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.loss.patch_sentence_grad(
        c, {v[0], v[1], v[2], v[3], v[4], v[5], v[6], at.student, at.teacher, v[7], v[8], mode, mode});
  };
  p.op = [at = e.at](Tensors t, GradMode mode) -> std::vector<Tensor> {
    patch_sentence_grad(t[0], t[1], t[2], t[3], {t[3], t[4], t[5]}, t[6], at, {t[7], mode}, {t[8], mode});
    return {};
  };
  if (!sentences) p.batch = {{0, 0}, {1, 0}, {3, 0}, {4, 0}, {5, 0}, {7, 0}};
  p.flops = 8.0 * static_cast<double>(e.rows * e.sentences * e.width);
  return p;
}

std::vector<Problem> patch_sentence_problems(DType dtype) {
  Values values("patch_sentence");
  std::vector<Problem> problems;
  // Among them one row and one sentence beyond a block, and temperatures whose logits leave the range of exp.
  for (const PatchSentence& e : {PatchSentence{0, 3, 4},
                                 {1, 1, 1},
                                 {5, 7, 16},
                                 {37, 33, 65},
                                 {113, 7, 65},
                                 {289, 70, 48},
                                 {65, 257, 130},
                                 {20, 1025, 32},
                                 {40, 33, 5, {.student = 0.002, .teacher = 0.001}},
                                 {64, 1, 5, {.student = 0.002, .teacher = 0.001}}}) {
    problems.push_back(patch_sentence_problem(values, dtype, e));
    problems.push_back(patch_sentence_grad_problem(values, dtype, e, true, true));
    problems.push_back(patch_sentence_grad_problem(values, dtype, e, true, false));
  }
  problems.push_back(patch_sentence_grad_problem(values, dtype, {37, 33, 65}, false, true));
  return problems;
}

OpCase cross_entropy_case() {
  Values values("cross_entropy gradients");
  const Tensor labels = Tensor::from(std::vector<int32_t>{2, 0, 5, 2}, {4});
  OpCase c;
  c.name = "cross_entropy";
  c.slots = {"loss.cross_entropy", "loss.cross_entropy_grad"};
  c.dtypes = {DType::f32, DType::f64};
  c.problems = cross_entropy_problems;
  c.gradients = {{.name = "logits",
                  .inputs = {{values.normal({4, 6}, 2)}},
                  .forward = [=](const auto& v, DType) { return autograd::cross_entropy(v[0], labels, 0.25).loss; },
                  .c = 16,
                  .dtypes = {DType::f32}}};
  const auto call = [](const Tensor& logits, const Tensor& l) { return [=] { (void)cross_entropy(logits, l); }; };
  const Tensor logits = Tensor::zeros({4, 6});
  c.refusals = {
      {"a label beyond the classes", ErrorKind::shape, call(Tensor::zeros({4, 5}), labels)},
      {"a negative label", ErrorKind::shape, call(Tensor::zeros({1, 5}), Tensor::from(std::vector<int32_t>{-1}, {1}))},
      {"labels of other rows", ErrorKind::shape, call(Tensor::zeros({3, 6}), labels)},
      {"rank", ErrorKind::shape, call(Tensor::zeros({4}), labels)},
      {"strided", ErrorKind::shape, call(Tensor::zeros({6, 4}).transpose(0, 1), labels)},
      {"bf16", ErrorKind::dtype, call(Tensor::zeros({4, 6}, DType::bf16), labels)},
      {"labels in i64", ErrorKind::dtype, call(logits, Tensor::zeros({4}, DType::i64))},
      {"dlogits", ErrorKind::shape, [=] {
         cross_entropy_grad(logits, labels, Tensor::zeros({4}), Tensor::zeros({}), 1,
                            {Tensor::zeros({4, 5}), GradMode::overwrite});
       }}};
  return c;
}

OpCase soft_cross_entropy_case() {
  Values values("soft_cross_entropy gradients");
  const Tensor targets = mixed_targets(values, {4, 6});
  OpCase c;
  c.name = "soft_cross_entropy";
  c.slots = {"loss.soft_cross_entropy", "loss.soft_cross_entropy_grad"};
  c.dtypes = {DType::f32, DType::f64};
  c.problems = soft_cross_entropy_problems;
  c.gradients = {{.name = "logits",
                  .inputs = {{values.normal({4, 6}, 2)}},
                  .forward =
                      [=](const auto& v, DType t) {
                        return autograd::soft_cross_entropy(v[0], t == DType::f64 ? targets : cast(targets, t), 0.25);
                      },
                  .c = 16,
                  .dtypes = {DType::f32}}};
  const auto call = [](const Tensor& logits, const Tensor& t) { return [=] { (void)soft_cross_entropy(logits, t); }; };
  const Tensor logits = Tensor::zeros({4, 6});
  c.refusals = {
      {"targets of other rows", ErrorKind::shape, call(logits, Tensor::zeros({3, 6}))},
      {"rank", ErrorKind::shape, call(Tensor::zeros({4}), Tensor::zeros({4}))},
      {"no class", ErrorKind::shape, call(Tensor::zeros({4, 0}), Tensor::zeros({4, 0}))},
      {"strided", ErrorKind::shape, call(logits, Tensor::zeros({6, 4}).transpose(0, 1))},
      {"bf16", ErrorKind::dtype, call(Tensor::zeros({4, 6}, DType::bf16), Tensor::zeros({4, 6}, DType::bf16))},
      {"targets in f64", ErrorKind::dtype, call(logits, Tensor::zeros({4, 6}, DType::f64))},
      {"dlogits", ErrorKind::shape, [=] {
         soft_cross_entropy_grad(logits, logits, Tensor::zeros({4}), Tensor::zeros({}), 1,
                                 {Tensor::zeros({4, 5}), GradMode::overwrite});
       }}};
  return c;
}

OpCase patch_sentence_case() {
  Values values("patch_sentence gradients");
  const Tensor teacher = values.unit_rows({5, 4});
  const Tensor weight = row_weights(values, 5);
  const auto as = [](const Tensor& t, DType dtype) { return t.dtype() == dtype ? t : cast(t, dtype); };
  OpCase c;
  c.name = "patch_sentence";
  c.slots = {"loss.patch_sentence", "loss.patch_sentence_grad"};
  c.problems = patch_sentence_problems;
  const auto loss = [=](const autograd::Var& student, const autograd::Var& sentences, DType t, Temperatures at) {
    return autograd::patch_sentence(student, as(teacher, t), sentences, as(weight, wide(t)), at);
  };
  const Tensor fixed = values.unit_rows({3, 4});
  c.gradients = {{.name = "student",
                  .inputs = {{values.unit_rows({5, 4})}},
                  .forward = [=](const auto& v, DType t) { return loss(v[0], as(fixed, t), t, kTemperatures); },
                  .c = 64,
                  .k = 5,
                  .dtypes = {DType::f32}},
                 // Nothing flows to the teacher, which depends on the sentences too; one so warm that it tells no
                 // sentence from another leaves the student's part alone.
                 {.name = "student and sentences",
                  .inputs = {{values.unit_rows({5, 4})}, {values.unit_rows({3, 4})}},
                  .forward =
                      [=](const auto& v, DType t) {
                        return loss(v[0], v[1], t, {0.1, 1e12});
                      },
                  .c = 64,
                  .k = 5,
                  .dtypes = {DType::f32}}};
  c.benchmarks = [](DType dtype) {
    Values v("patch_sentence benchmark");
    return std::vector{patch_sentence_problem(v, dtype, {1176, 256, 512}),
                       patch_sentence_grad_problem(v, dtype, {1176, 256, 512}, true, true)};
  };
  const auto call = [](const Tensor& s, const Tensor& t, const Tensor& n, const Tensor& w, Temperatures temperatures) {
    return [=] { (void)patch_sentence(s, t, n, w, temperatures); };
  };
  const Tensor s = Tensor::zeros({5, 4});
  const Tensor n = Tensor::zeros({3, 4});
  const Tensor w = Tensor::zeros({5});
  c.refusals = {
      {"teacher", ErrorKind::shape, call(s, Tensor::zeros({4, 4}), n, w, kTemperatures)},
      {"width of sentences", ErrorKind::shape, call(s, s, Tensor::zeros({3, 5}), w, kTemperatures)},
      {"weight", ErrorKind::shape, call(s, s, n, Tensor::zeros({4}), kTemperatures)},
      {"no sentence", ErrorKind::shape, call(s, s, Tensor::zeros({0, 4}), w, kTemperatures)},
      {"a temperature of 0", ErrorKind::shape, call(s, s, n, w, {0, 0.1})},
      {"type of sentences", ErrorKind::dtype, call(s, s, Tensor::zeros({3, 4}, DType::bf16), w, kTemperatures)},
      {"weight in bf16", ErrorKind::dtype, call(s, s, n, Tensor::zeros({5}, DType::bf16), kTemperatures)},
      {"dstudent", ErrorKind::shape, [=] {
         patch_sentence_grad(s, s, n, w, {w, w, w}, Tensor::zeros({}), kTemperatures,
                             {Tensor::zeros({5, 5}), GradMode::overwrite}, {});
       }}};
  return c;
}

}  // namespace

std::vector<OpCase> loss_cases() { return {cross_entropy_case(), soft_cross_entropy_case(), patch_sentence_case()}; }

}  // namespace tessera::test
