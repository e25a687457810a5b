#include "autograd/ops/matmul.h"

#include "autograd/tape.h"
#include "engine/ops/copy.h"

namespace tessera::autograd {
namespace {

class MatmulNode final : public Node {
 public:
  MatmulNode(const Var& a, const Var& b, double alpha, bool transposed)
      : a_(a), b_(b), alpha_(alpha), transposed_(transposed) {}
  [[nodiscard]] std::string_view name() const override { return "matmul"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&a_.value, &b_.value}); }

  void backward(Tape& tape, const Tensor& dy) override {
    const Tensor d = dy.dtype() == a_.dtype() ? dy : tessera::cast(dy, a_.dtype());
    product(d, transposed_ ? b_.value : b_.value.transpose(-1, -2), tape, a_.slot);
    if (transposed_) {
      product(d.transpose(-1, -2), a_.value, tape, b_.slot);
    } else {
      product(a_.value.transpose(-1, -2), d, tape, b_.slot);
    }
  }

 private:
  void product(const Tensor& x, const Tensor& y, Tape& tape, Slot slot) const {
    if (!slot) return;
    if (x.dtype() == DType::bf16) {
      tape.give(slot, tessera::cast(tessera::matmul(x, y, alpha_), DType::bf16));
    } else {
      matmul_into(x, y, alpha_, tape.sink(slot));
    }
  }

  Var a_, b_;
  double alpha_;
  bool transposed_;
};

Var product(const Var& a, const Var& b, double alpha, bool transposed) {
  Tensor c = tessera::matmul(a.value, transposed ? b.value.transpose(-1, -2) : b.value, alpha);
  if (Tape* tape = recording({&a, &b})) {
    return tape->record(std::make_unique<MatmulNode>(a, b, alpha, transposed), std::move(c));
  }
  return c;
}

}  // namespace

Var matmul(const Var& a, const Var& b, double alpha) { return product(a, b, alpha, false); }
Var matmul_transposed(const Var& a, const Var& b, double alpha) { return product(a, b, alpha, true); }

}  // namespace tessera::autograd
