#include "autograd/ops/loss.h"

#include "autograd/tape.h"
#include "engine/ops/reduce.h"

namespace tessera::autograd {
namespace {

class CrossEntropyNode final : public Node {
 public:
  CrossEntropyNode(const Var& logits, Tensor targets, Tensor lse, double factor)
      : logits_(logits), targets_(std::move(targets)), lse_(std::move(lse)), factor_(factor) {}
  [[nodiscard]] std::string_view name() const override { return "cross_entropy"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&logits_.value, &targets_, &lse_}); }
  void backward(Tape& tape, const Tensor& dy) override {
    cross_entropy_grad(logits_.value, targets_, lse_, dy, factor_, tape.sink(logits_.slot));
  }

 private:
  Var logits_;
  Tensor targets_, lse_;
  double factor_;
};

}  // namespace

CrossEntropy cross_entropy(const Var& logits, const Tensor& targets, double factor) {
  CrossEntropyResult r = tessera::cross_entropy(logits.value, targets);
  Tensor loss = tessera::sum(r.loss, factor);
  if (Tape* tape = recording({&logits})) {
    auto node = std::make_unique<CrossEntropyNode>(logits, targets, std::move(r.lse), factor);
    return {tape->record(std::move(node), std::move(loss)), std::move(r.argmax)};
  }
  return {std::move(loss), std::move(r.argmax)};
}

}  // namespace tessera::autograd
