#include "engine/ops/patch_sentence.h"

#include <fmt/format.h>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {
namespace {

Context& check_inputs(const char* op, const PatchSentenceInputs& in,
                      std::initializer_list<check::Operand> others = {}) {
  Context& c = check::device(
      op, {{"student", in.student}, {"teacher", in.teacher}, {"sentences", in.sentences}, {"weight", in.weight}},
      others);
  check::rank(op, {"student", in.student}, 2);
  const DType dtype = in.student.dtype();
  check::dtype(op, {"student", in.student}, {DType::f32, DType::bf16, DType::f64});
  check::shape(op, {"teacher", in.teacher}, in.student.shape(), "the shape of student");
  check::shape(op, {"sentences", in.sentences}, {-1, in.student.size(1)}, "columns of student");
  check::dtype(op, {"teacher", in.teacher}, {dtype});
  check::dtype(op, {"sentences", in.sentences}, {dtype});
  check::shape(op, {"weight", in.weight}, {in.student.size(0)}, "rows of student");
  check::dtype(op, {"weight", in.weight}, {check::statistics(dtype)});
  check::contiguous(
      op, {{"student", in.student}, {"teacher", in.teacher}, {"sentences", in.sentences}, {"weight", in.weight}});
  const Temperatures t = in.temperatures;
  if (in.sentences.size(0) < 1 || !(t.student > 0) || !(t.teacher > 0)) {
    throw ShapeError(fmt::format("{}: {} sentences, temperatures {} and {}, expected positive numbers", op,
                                 in.sentences.size(0), t.student, t.teacher));
  }
  return c;
}

}  // namespace

PatchSentenceResult patch_sentence(const PatchSentenceInputs& in) {
  Context& c = check_inputs("patch_sentence", in);
  PatchSentenceResult r;
  for (Tensor* out : {&r.loss, &r.lse_student, &r.lse_teacher}) {
    *out = Tensor::empty({in.student.size(0)}, in.weight.dtype(), in.student.device());
  }
  c.kernels().patch_sentence.forward(c, {.student = in.student,
                                         .teacher = in.teacher,
                                         .sentences = in.sentences,
                                         .weight = in.weight,
                                         .student_temperature = in.temperatures.student,
                                         .teacher_temperature = in.temperatures.teacher,
                                         .loss = r.loss,
                                         .lse_student = r.lse_student,
                                         .lse_teacher = r.lse_teacher});
  return r;
}

void patch_sentence_grad(const PatchSentenceInputs& in, const PatchSentenceResult& result, const Tensor& dloss,
                         const GradOut& dstudent, const GradOut& dsentences) {
  if (!dstudent && !dsentences) return;
  constexpr const char* kOp = "patch_sentence_grad";
  Context& c = check_inputs(kOp, in,
                            {{"lse_student", result.lse_student},
                             {"lse_teacher", result.lse_teacher},
                             {"dloss", dloss},
                             {"dstudent", dstudent.tensor},
                             {"dsentences", dsentences.tensor}});
  if (dstudent) {
    check::shape(kOp, {"dstudent", dstudent.tensor}, in.student.shape(), "the shape of student");
    check::dtype(kOp, {"dstudent", dstudent.tensor}, {in.weight.dtype()});
  }
  if (dsentences) {
    check::shape(kOp, {"dsentences", dsentences.tensor}, in.sentences.shape(), "the shape of sentences");
    check::dtype(kOp, {"dsentences", dsentences.tensor}, {in.weight.dtype()});
  }
  c.kernels().patch_sentence.backward(c, {.student = in.student,
                                          .teacher = in.teacher,
                                          .sentences = in.sentences,
                                          .weight = in.weight,
                                          .lse_student = result.lse_student,
                                          .lse_teacher = result.lse_teacher,
                                          .dloss = dloss,
                                          .student_temperature = in.temperatures.student,
                                          .teacher_temperature = in.temperatures.teacher,
                                          .dstudent = dstudent.tensor,
                                          .dsentences = dsentences.tensor,
                                          .student_mode = dstudent.mode,
                                          .sentences_mode = dsentences.mode});
}

}  // namespace tessera
