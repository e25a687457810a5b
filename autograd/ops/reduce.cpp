#include "autograd/ops/reduce.h"

#include "autograd/tape.h"
#include "engine/ops/copy.h"
#include "engine/ops/pointwise.h"

namespace tessera::autograd {
namespace {

class SumNode final : public Node {
 public:
  SumNode(const Var& x, double alpha) : slot_(x.slot), alpha_(alpha) {}
  [[nodiscard]] std::string_view name() const override { return "sum"; }
  [[nodiscard]] size_t saved_bytes() const override { return 0; }
  void backward(Tape& tape, const Tensor& dy) override {
    const GradOut dx = tape.sink(slot_);
    if (!dx) return;
    const Tensor ones = filled(dx.tensor.shape(), 1.0, dx.tensor.dtype(), dx.tensor.device());
    binary_into(Binary::mul, ones, dy, alpha_, dx);
  }

 private:
  Slot slot_;
  double alpha_;
};

class SegmentMeanNode final : public Node {
 public:
  SegmentMeanNode(const Var& x, SegmentTable segments, int64_t skip)
      : slot_(x.slot), segments_(std::move(segments)), skip_(skip) {}
  [[nodiscard]] std::string_view name() const override { return "segment_mean"; }
  [[nodiscard]] size_t saved_bytes() const override { return 0; }
  void backward(Tape& tape, const Tensor& dy) override { segment_mean_grad(dy, segments_, skip_, tape.sink(slot_)); }

 private:
  Slot slot_;
  SegmentTable segments_;
  int64_t skip_;
};

}  // namespace

Var sum(const Var& x, double alpha) {
  Tensor y = tessera::sum(x.value, alpha);
  if (Tape* tape = recording({&x})) return tape->record(std::make_unique<SumNode>(x, alpha), std::move(y));
  return y;
}

Var segment_mean(const Var& x, const SegmentTable& segments, int64_t skip) {
  Tensor y = tessera::segment_mean(x.value, segments, skip);
  if (Tape* tape = recording({&x})) {
    return tape->record(std::make_unique<SegmentMeanNode>(x, segments, skip), std::move(y));
  }
  return y;
}

}  // namespace tessera::autograd
