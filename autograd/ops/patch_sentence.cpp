#include "autograd/ops/patch_sentence.h"

#include "autograd/tape.h"
#include "engine/ops/copy.h"
#include "engine/ops/reduce.h"

namespace tessera::autograd {
namespace {

class PatchSentenceNode final : public Node {
 public:
  PatchSentenceNode(Slot student, Slot sentences, PatchSentenceInputs inputs, PatchSentenceResult result)
      : student_(student), sentences_(sentences), inputs_(std::move(inputs)), result_(std::move(result)) {}
  [[nodiscard]] std::string_view name() const override { return "patch_sentence"; }
  [[nodiscard]] size_t saved_bytes() const override {
    return bytes_of({&inputs_.student, &inputs_.teacher, &inputs_.sentences, &inputs_.weight, &result_.lse_student,
                     &result_.lse_teacher});
  }

  void backward(Tape& tape, const Tensor& dy) override {
    if (inputs_.student.dtype() != DType::bf16) {
      patch_sentence_grad(inputs_, result_, dy, tape.sink(student_), tape.sink(sentences_));
      return;
    }
    // Gradients are f32; rounding them back to the operands' type is the last step.
    const auto wide = [](Slot slot, const Tensor& value) {
      return slot ? GradOut{Tensor::empty(value.shape(), DType::f32, value.device()), GradMode::overwrite} : GradOut{};
    };
    const GradOut d_student = wide(student_, inputs_.student);
    const GradOut d_sentences = wide(sentences_, inputs_.sentences);
    patch_sentence_grad(inputs_, result_, dy, d_student, d_sentences);
    if (d_student) tape.give(student_, tessera::cast(d_student.tensor, DType::bf16));
    if (d_sentences) tape.give(sentences_, tessera::cast(d_sentences.tensor, DType::bf16));
  }

 private:
  Slot student_, sentences_;
  PatchSentenceInputs inputs_;
  PatchSentenceResult result_;
};

}  // namespace

Var patch_sentence(const Var& student, const Tensor& teacher, const Var& sentences, const Tensor& weight,
                   Temperatures temperatures) {
  PatchSentenceInputs inputs{.student = student.value,
                             .teacher = teacher,
                             .sentences = sentences.value,
                             .weight = weight,
                             .temperatures = temperatures};
  PatchSentenceResult r = tessera::patch_sentence(inputs);
  Tensor loss = tessera::sum(r.loss);
  if (Tape* tape = recording({&student, &sentences})) {
    auto node = std::make_unique<PatchSentenceNode>(student.slot, sentences.slot, std::move(inputs), std::move(r));
    return tape->record(std::move(node), std::move(loss));
  }
  return loss;
}

}  // namespace tessera::autograd
