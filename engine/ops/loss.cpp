#include "engine/ops/loss.h"

#include <fmt/format.h>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {

CrossEntropyResult cross_entropy(const Tensor& logits, const Tensor& labels) {
  constexpr const char* kOp = "cross_entropy";
  Context& c = check::device(kOp, {{"logits", logits}, {"labels", labels}});
  check::rank(kOp, {"logits", logits}, 2);
  check::dtype(kOp, {"logits", logits}, {DType::f32, DType::f64});
  check::dtype(kOp, {"labels", labels}, {DType::i32});
  check::shape(kOp, {"labels", labels}, {logits.size(0)}, "rows of logits");
  check::contiguous(kOp, {{"logits", logits}, {"labels", labels}});
  for (const int32_t label : labels.data<int32_t>()) {
    if (label < 0 || label >= logits.size(1)) {
      throw ShapeError(fmt::format("{}: label {}, expected 0 to {}", kOp, label, logits.size(1) - 1));
    }
  }
  CrossEntropyResult r;
  r.loss = Tensor::empty({logits.size(0)}, logits.dtype(), logits.device());
  r.lse = Tensor::empty({logits.size(0)}, logits.dtype(), logits.device());
  r.argmax = Tensor::empty({logits.size(0)}, DType::i32, logits.device());
  c.kernels().loss.cross_entropy(c, {logits, labels, r.loss, r.lse, r.argmax});
  return r;
}

void cross_entropy_grad(const Tensor& logits, const Tensor& labels, const Tensor& lse, const Tensor& dloss,
                        double factor, const GradOut& dlogits) {
  if (!dlogits) return;
  constexpr const char* kOp = "cross_entropy_grad";
  Context& c = check::device(kOp, {{"logits", logits}, {"labels", labels}, {"lse", lse}, {"dloss", dloss}});
  check::shape(kOp, {"dlogits", dlogits.tensor}, logits.shape(), "the shape of logits");
  check::dtype(kOp, {"dlogits", dlogits.tensor}, {logits.dtype()});
  check::contiguous(kOp, {{"logits", logits}, {"dlogits", dlogits.tensor}});
  c.kernels().loss.cross_entropy_grad(c, {logits, labels, lse, dloss, factor, dlogits.tensor, dlogits.mode});
}

namespace {

Context& check_soft(const char* op, const Tensor& logits, const Tensor& targets) {
  Context& c = check::device(op, {{"logits", logits}, {"targets", targets}});
  check::rank(op, {"logits", logits}, 2);
  check::dtype(op, {"logits", logits}, {DType::f32, DType::f64});
  check::shape(op, {"targets", targets}, logits.shape(), "the shape of logits");
  check::dtype(op, {"targets", targets}, {logits.dtype()});
  check::contiguous(op, {{"logits", logits}, {"targets", targets}});
  return c;
}

}  // namespace

SoftCrossEntropyResult soft_cross_entropy(const Tensor& logits, const Tensor& targets) {
  constexpr const char* kOp = "soft_cross_entropy";
  Context& c = check_soft(kOp, logits, targets);
  if (logits.size(1) < 1) throw ShapeError(fmt::format("{}: logits have no columns, expected at least 1", kOp));
  SoftCrossEntropyResult r;
  r.loss = Tensor::empty({logits.size(0)}, logits.dtype(), logits.device());
  r.lse = Tensor::empty({logits.size(0)}, logits.dtype(), logits.device());
  c.kernels().loss.soft_cross_entropy(c, {logits, targets, r.loss, r.lse});
  return r;
}

void soft_cross_entropy_grad(const Tensor& logits, const Tensor& targets, const Tensor& lse, const Tensor& dloss,
                             double factor, const GradOut& dlogits) {
  if (!dlogits) return;
  constexpr const char* kOp = "soft_cross_entropy_grad";
  Context& c = check_soft(kOp, logits, targets);
  check::shape(kOp, {"lse", lse}, {logits.size(0)}, "rows of logits");
  check::shape(kOp, {"dlogits", dlogits.tensor}, logits.shape(), "the shape of logits");
  for (const Tensor* t : {&lse, &dloss, &dlogits.tensor})
    check::dtype(kOp, {"lse, dloss or dlogits", *t}, {logits.dtype()});
  check::contiguous(kOp, {{"dlogits", dlogits.tensor}});
  c.kernels().loss.soft_cross_entropy_grad(c, {logits, targets, lse, dloss, factor, dlogits.tensor, dlogits.mode});
}

namespace {

Context& check_patch_sentence(const Tensor& student, const Tensor& teacher, const Tensor& sentences,
                              const Tensor& weight, Temperatures t) {
  constexpr const char* kOp = "patch_sentence";
  Context& c =
      check::device(kOp, {{"student", student}, {"teacher", teacher}, {"sentences", sentences}, {"weight", weight}});
  check::rank(kOp, {"student", student}, 2);
  check::dtype(kOp, {"student", student}, {DType::f32, DType::bf16, DType::f64});
  check::shape(kOp, {"teacher", teacher}, student.shape(), "the shape of student");
  check::shape(kOp, {"sentences", sentences}, {-1, student.size(1)}, "columns of student");
  check::dtype(kOp, {"teacher", teacher}, {student.dtype()});
  check::dtype(kOp, {"sentences", sentences}, {student.dtype()});
  check::shape(kOp, {"weight", weight}, {student.size(0)}, "rows of student");
  check::dtype(kOp, {"weight", weight}, {check::statistics(student.dtype())});
  check::contiguous(kOp, {{"student", student}, {"teacher", teacher}, {"sentences", sentences}, {"weight", weight}});
  if (sentences.size(0) < 1 || !(t.student > 0) || !(t.teacher > 0)) {
    throw ShapeError(fmt::format("{}: {} sentences, temperatures {} and {}, expected positive numbers", kOp,
                                 sentences.size(0), t.student, t.teacher));
  }
  return c;
}

}  // namespace

PatchSentenceResult patch_sentence(const Tensor& student, const Tensor& teacher, const Tensor& sentences,
                                   const Tensor& weight, Temperatures t) {
  Context& c = check_patch_sentence(student, teacher, sentences, weight, t);
  PatchSentenceResult r;
  for (Tensor* out : {&r.loss, &r.lse_student, &r.lse_teacher}) {
    *out = Tensor::empty({student.size(0)}, weight.dtype(), student.device());
  }
  c.kernels().loss.patch_sentence(
      c, {student, teacher, sentences, weight, t.student, t.teacher, r.loss, r.lse_student, r.lse_teacher});
  return r;
}

void patch_sentence_grad(const Tensor& student, const Tensor& teacher, const Tensor& sentences, const Tensor& weight,
                         const PatchSentenceResult& result, const Tensor& dloss, Temperatures t,
                         const GradOut& dstudent, const GradOut& dsentences) {
  if (!dstudent && !dsentences) return;
  constexpr const char* kOp = "patch_sentence_grad";
  Context& c = check_patch_sentence(student, teacher, sentences, weight, t);
  if (dstudent) {
    check::shape(kOp, {"dstudent", dstudent.tensor}, student.shape(), "the shape of student");
    check::dtype(kOp, {"dstudent", dstudent.tensor}, {weight.dtype()});
  }
  if (dsentences) {
    check::shape(kOp, {"dsentences", dsentences.tensor}, sentences.shape(), "the shape of sentences");
    check::dtype(kOp, {"dsentences", dsentences.tensor}, {weight.dtype()});
  }
  c.kernels().loss.patch_sentence_grad(
      c, {student, teacher, sentences, weight, result.lse_student, result.lse_teacher, dloss, t.student, t.teacher,
          dstudent.tensor, dsentences.tensor, dstudent.mode, dsentences.mode});
}

}  // namespace tessera
