#include "engine/ops/patch_sentence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/patch_sentence.h"
#include "engine/ops/copy.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

constexpr Temperatures kTemperatures{.student = 0.1, .teacher = 0.04};

struct PatchSentence {
  int64_t rows, sentences, width;
  Temperatures at = kTemperatures;
  Layout layout{};  // of the rows and sentences
};

/// The rounding of logits and of their log-sum-exp is a relative error of probabilities: 1 at the usual temperatures,
/// more at lower ones.
double coldness(Temperatures at) { return std::max(1.0, 3 * kTemperatures.teacher / at.teacher - 2); }

/// The first four operands of both directions.
PatchSentenceInputs inputs_of(Tensors t, Temperatures at) {
  return {.student = t[0], .teacher = t[1], .sentences = t[2], .weight = t[3], .temperatures = at};
}

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
  p.operands = {in("student", dtype, values.unit_rows({e.rows, e.width}), e.layout),
                in("teacher", dtype, values.unit_rows({e.rows, e.width}), e.layout),
                in("sentences", dtype, values.unit_rows({e.sentences, e.width}), e.layout),
                in("weight", type, row_weights(values, e.rows)),
                out("loss", type, {e.rows}, product),
                out("lse_student", type, {e.rows}, near),
                out("lse_teacher", type, {e.rows}, near)};
  p.call = [at = e.at](Context& c, const KernelTable& t, Views v, GradMode) {
    t.patch_sentence.forward(c, {.student = v[0],
                                 .teacher = v[1],
                                 .sentences = v[2],
                                 .weight = v[3],
                                 .student_temperature = at.student,
                                 .teacher_temperature = at.teacher,
                                 .loss = v[4],
                                 .lse_student = v[5],
                                 .lse_teacher = v[6]});
  };
  p.op = [at = e.at](Tensors t, GradMode) -> std::vector<Tensor> {
    const PatchSentenceResult r = patch_sentence(inputs_of(t, at));
    return {r.loss, r.lse_student, r.lse_teacher};
  };
  p.batch = {{0, 0}, {1, 0}, {3, 0}, {4, 0}, {5, 0}, {6, 0}};
  p.flops = 4.0 * static_cast<double>(e.rows * e.sentences * e.width);
  return p;
}

Problem patch_sentence_grad_problem(Values& values, DType dtype, const PatchSentence& e, bool student, bool sentences) {
  const Problem forward = patch_sentence_problem(values, dtype, e);
  const double chance = std::log(static_cast<double>(e.sentences + 1));
  const auto saved = values.saved(forward, {{5, {chance + 0.1, 0.02}}, {6, {chance + 0.6, 0.1}}});
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
      student ? sum_out("dstudent", type, {e.rows, e.width}, sum_of(e.width), e.layout) : absent("dstudent"),
      sentences ? sum_out("dsentences", type, {e.sentences, e.width}, sum_of(e.width + e.rows)) : absent("dsentences")};
  p.call = [at = e.at](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.patch_sentence.backward(c, {.student = v[0],
                                  .teacher = v[1],
                                  .sentences = v[2],
                                  .weight = v[3],
                                  .lse_student = v[4],
                                  .lse_teacher = v[5],
                                  .dloss = v[6],
                                  .student_temperature = at.student,
                                  .teacher_temperature = at.teacher,
                                  .dstudent = v[7],
                                  .dsentences = v[8],
                                  .student_mode = mode,
                                  .sentences_mode = mode});
  };
  p.op = [at = e.at](Tensors t, GradMode mode) -> std::vector<Tensor> {
    const PatchSentenceResult saved_result{.loss = {}, .lse_student = t[4], .lse_teacher = t[5]};
    patch_sentence_grad(inputs_of(t, at), saved_result, t[6], {t[7], mode}, {t[8], mode});
    return {};
  };
  if (!sentences) p.batch = {{0, 0}, {1, 0}, {3, 0}, {4, 0}, {5, 0}, {7, 0}};
  // The logits of student and teacher again, and a product for each gradient.
  p.flops = (4.0 + 2.0 * student + 2.0 * sentences) * static_cast<double>(e.rows * e.sentences * e.width);
  return p;
}

std::vector<Problem> patch_sentence_problems(DType dtype) {
  Values values("patch_sentence");
  std::vector<Problem> problems;
  // Among them one row and one sentence beyond a block, a width of several blocks whose rows are aligned to 16 bytes,
  // and temperatures whose logits leave the range of exp.
  for (const PatchSentence& e : {PatchSentence{0, 3, 4},
                                 {1, 1, 1},
                                 {5, 7, 16},
                                 {37, 33, 65},
                                 {113, 7, 65},
                                 {289, 70, 48},
                                 {65, 257, 130},
                                 {20, 1025, 32},
                                 {70, 131, 200},
                                 {40, 33, 5, {.student = 0.002, .teacher = 0.001}},
                                 {64, 1, 5, {.student = 0.002, .teacher = 0.001}}}) {
    problems.push_back(patch_sentence_problem(values, dtype, e));
    problems.push_back(patch_sentence_grad_problem(values, dtype, e, true, true));
    problems.push_back(patch_sentence_grad_problem(values, dtype, e, true, false));
  }
  problems.push_back(patch_sentence_grad_problem(values, dtype, {37, 33, 65}, false, true));
  // Rows that begin one element after a multiple of 16 bytes.
  const PatchSentence shifted{.rows = 20, .sentences = 33, .width = 64, .layout = padded(2, 0)};
  problems.push_back(patch_sentence_problem(values, dtype, shifted));
  problems.push_back(patch_sentence_grad_problem(values, dtype, shifted, true, true));
  return problems;
}

}  // namespace

std::vector<OpCase> patch_sentence_cases() {
  Values values("patch_sentence gradients");
  const Tensor teacher = values.unit_rows({5, 4});
  const Tensor weight = row_weights(values, 5);
  const auto as = [](const Tensor& t, DType dtype) { return t.dtype() == dtype ? t : cast(t, dtype); };
  OpCase c;
  c.name = "patch_sentence";
  c.slots = {"patch_sentence.forward", "patch_sentence.backward"};
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
                 // No gradient flows to the teacher, which depends on the sentences too. Its temperature is so high
                 // here that its probabilities are constant.
                 {.name = "student and sentences",
                  .inputs = {{values.unit_rows({5, 4})}, {values.unit_rows({3, 4})}},
                  .forward =
                      [=](const auto& v, DType t) {
                        return loss(v[0], v[1], t, {0.1, 1e12});
                      },
                  .c = 64,
                  .k = 5,
                  .dtypes = {DType::f32}}};
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("patch_sentence benchmark");
    const PatchSentence sizes{s.predicted(), s.contrast, s.text_width};
    return std::vector{patch_sentence_problem(v, dtype, sizes),
                       patch_sentence_grad_problem(v, dtype, sizes, true, false),
                       patch_sentence_grad_problem(v, dtype, sizes, true, true)};
  };
  const auto call = [](const Tensor& s, const Tensor& t, const Tensor& n, const Tensor& w, Temperatures temperatures) {
    return [=] { (void)patch_sentence({s, t, n, w, temperatures}); };
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
         patch_sentence_grad({s, s, n, w, kTemperatures}, {w, w, w}, Tensor::zeros({}),
                             {Tensor::zeros({5, 5}), GradMode::overwrite}, {});
       }}};
  return {c};
}

}  // namespace tessera::test
