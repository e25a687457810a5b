#include "autograd/checkpoint.h"

namespace tessera::autograd {
namespace {

class CheckpointNode final : public Node {
 public:
  CheckpointNode(CheckpointedFunction function, std::vector<Var> inputs)
      : function_(std::move(function)), inputs_(std::move(inputs)) {}

  [[nodiscard]] std::string_view name() const override { return "checkpoint"; }
  [[nodiscard]] size_t saved_bytes() const override {
    size_t bytes = 0;
    for (const Var& v : inputs_) bytes += v.value ? v.value.bytes() : 0;
    return bytes;
  }

  void backward(Tape& tape, const Tensor& dy) override {
    Tape inner;
    std::vector<Var> inputs;
    Var output;
    {
      const TapeScope scope(inner);
      for (const Var& v : inputs_) inputs.push_back(v.slot ? inner.input(v.value) : v);
      output = function_(inputs);
    }
    inner.backward(output, dy);
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].slot) tape.give(inputs_[i].slot, inner.take(inputs[i].slot));
    }
  }

 private:
  CheckpointedFunction function_;
  std::vector<Var> inputs_;
};

/// Makes the tape record parameters but no operations until the scope ends.
class LeavesOnly {
 public:
  explicit LeavesOnly(Tape& tape) : tape_(tape) { tape_.set_mode(Tape::Record::leaves); }
  ~LeavesOnly() { tape_.set_mode(Tape::Record::all); }
  LeavesOnly(const LeavesOnly&) = delete;
  LeavesOnly& operator=(const LeavesOnly&) = delete;

 private:
  Tape& tape_;
};

}  // namespace

Var checkpoint(CheckpointedFunction function, const std::vector<Var>& inputs) {
  Tape* tape = Tape::current();
  // Without a tape, or inside another checkpoint's forward, there is nothing to save.
  if (tape == nullptr || tape->mode() == Tape::Record::leaves) return function(inputs);
  Var output;
  {
    const LeavesOnly scope(*tape);
    std::vector<Var> constants;
    for (const Var& v : inputs) constants.push_back(v.detach());
    output = function(constants);
  }
  return tape->record(std::make_unique<CheckpointNode>(std::move(function), inputs), output.value);
}

}  // namespace tessera::autograd
