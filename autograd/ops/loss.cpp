#include "autograd/ops/loss.h"

#include "autograd/tape.h"
#include "engine/ops/copy.h"
#include "engine/ops/reduce.h"

namespace tessera::autograd {
namespace {

class CrossEntropyNode final : public Node {
 public:
  CrossEntropyNode(const Var& logits, Tensor labels, Tensor lse, double factor)
      : logits_(logits), labels_(std::move(labels)), lse_(std::move(lse)), factor_(factor) {}
  [[nodiscard]] std::string_view name() const override { return "cross_entropy"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&logits_.value, &labels_, &lse_}); }
  void backward(Tape& tape, const Tensor& dy) override {
    cross_entropy_grad(logits_.value, labels_, lse_, dy, factor_, tape.sink(logits_.slot));
  }

 private:
  Var logits_;
  Tensor labels_, lse_;
  double factor_;
};

class SoftCrossEntropyNode final : public Node {
 public:
  SoftCrossEntropyNode(const Var& logits, Tensor targets, Tensor lse, double factor)
      : logits_(logits), targets_(std::move(targets)), lse_(std::move(lse)), factor_(factor) {}
  [[nodiscard]] std::string_view name() const override { return "soft_cross_entropy"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&logits_.value, &targets_, &lse_}); }
  void backward(Tape& tape, const Tensor& dy) override {
    soft_cross_entropy_grad(logits_.value, targets_, lse_, dy, factor_, tape.sink(logits_.slot));
  }

 private:
  Var logits_;
  Tensor targets_, lse_;
  double factor_;
};

class PatchSentenceNode final : public Node {
 public:
  PatchSentenceNode(const Var& student, Tensor teacher, const Var& sentences, Tensor weight, Temperatures temperatures,
                    PatchSentenceResult result)
      : student_(student),
        sentences_(sentences),
        teacher_(std::move(teacher)),
        weight_(std::move(weight)),
        temperatures_(temperatures),
        result_(std::move(result)) {}
  [[nodiscard]] std::string_view name() const override { return "patch_sentence"; }
  [[nodiscard]] size_t saved_bytes() const override {
    return bytes_of(
        {&student_.value, &teacher_, &sentences_.value, &weight_, &result_.lse_student, &result_.lse_teacher});
  }

  void backward(Tape& tape, const Tensor& dy) override {
    if (student_.dtype() != DType::bf16) {
      patch_sentence_grad(student_.value, teacher_, sentences_.value, weight_, result_, dy, temperatures_,
                          tape.sink(student_.slot), tape.sink(sentences_.slot));
      return;
    }
    // Gradients are f32; rounding them back to the operands' type is the last step.
    const auto wide = [](const Var& v) {
      return v.slot ? GradOut{Tensor::empty(v.shape(), DType::f32), GradMode::overwrite} : GradOut{};
    };
    const GradOut d_student = wide(student_);
    const GradOut d_sentences = wide(sentences_);
    patch_sentence_grad(student_.value, teacher_, sentences_.value, weight_, result_, dy, temperatures_, d_student,
                        d_sentences);
    if (d_student) tape.give(student_.slot, tessera::cast(d_student.tensor, DType::bf16));
    if (d_sentences) tape.give(sentences_.slot, tessera::cast(d_sentences.tensor, DType::bf16));
  }

 private:
  Var student_, sentences_;
  Tensor teacher_, weight_;
  Temperatures temperatures_;
  PatchSentenceResult result_;
};

}  // namespace

CrossEntropy cross_entropy(const Var& logits, const Tensor& labels, double factor) {
  CrossEntropyResult r = tessera::cross_entropy(logits.value, labels);
  Tensor loss = tessera::sum(r.loss, factor);
  if (Tape* tape = recording({&logits})) {
    auto node = std::make_unique<CrossEntropyNode>(logits, labels, std::move(r.lse), factor);
    return {tape->record(std::move(node), std::move(loss)), std::move(r.argmax)};
  }
  return {std::move(loss), std::move(r.argmax)};
}

Var soft_cross_entropy(const Var& logits, const Tensor& targets, double factor) {
  SoftCrossEntropyResult r = tessera::soft_cross_entropy(logits.value, targets);
  Tensor loss = tessera::sum(r.loss, factor);
  if (Tape* tape = recording({&logits})) {
    auto node = std::make_unique<SoftCrossEntropyNode>(logits, targets, std::move(r.lse), factor);
    return tape->record(std::move(node), std::move(loss));
  }
  return loss;
}

Var patch_sentence(const Var& student, const Tensor& teacher, const Var& sentences, const Tensor& weight,
                   Temperatures temperatures) {
  PatchSentenceResult r = tessera::patch_sentence(student.value, teacher, sentences.value, weight, temperatures);
  Tensor loss = tessera::sum(r.loss);
  if (Tape* tape = recording({&student, &sentences})) {
    auto node = std::make_unique<PatchSentenceNode>(student, teacher, sentences, weight, temperatures, std::move(r));
    return tape->record(std::move(node), std::move(loss));
  }
  return loss;
}

}  // namespace tessera::autograd
