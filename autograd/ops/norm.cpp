#include "autograd/ops/norm.h"

#include "autograd/tape.h"

namespace tessera::autograd {
namespace {

class LayerNormNode final : public Node {
 public:
  LayerNormNode(const Var& x, const Var& gamma, const Var& beta, Tensor mean, Tensor rstd)
      : x_(x), gamma_(gamma), beta_(beta.slot), mean_(std::move(mean)), rstd_(std::move(rstd)) {}
  [[nodiscard]] std::string_view name() const override { return "layer_norm"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&x_.value, &mean_, &rstd_}); }
  void backward(Tape& tape, const Tensor& dy) override {
    layer_norm_grad(x_.value, gamma_.value, mean_, rstd_, dy, tape.sink(x_.slot), tape.sink(gamma_.slot),
                    tape.sink(beta_));
  }

 private:
  Var x_, gamma_;
  Slot beta_;
  Tensor mean_, rstd_;
};

class L2NormalizeNode final : public Node {
 public:
  L2NormalizeNode(const Var& x, L2NormalizeResult result) : slot_(x.slot), result_(std::move(result)) {}
  [[nodiscard]] std::string_view name() const override { return "l2_normalize"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&result_.y, &result_.norm}); }
  void backward(Tape& tape, const Tensor& dy) override {
    l2_normalize_grad(result_.y, result_.norm, dy, tape.sink(slot_));
  }

 private:
  Slot slot_;
  L2NormalizeResult result_;
};

}  // namespace

Var layer_norm(const Var& x, const Var& gamma, const Var& beta, double eps, DType out_dtype) {
  LayerNormResult r = tessera::layer_norm(x.value, gamma.value, beta.value, eps, out_dtype);
  if (Tape* tape = recording({&x, &gamma, &beta})) {
    return tape->record(std::make_unique<LayerNormNode>(x, gamma, beta, std::move(r.mean), std::move(r.rstd)),
                        std::move(r.y));
  }
  return std::move(r.y);
}

Var l2_normalize(const Var& x) {
  L2NormalizeResult r = tessera::l2_normalize(x.value);
  Tensor y = r.y;
  if (Tape* tape = recording({&x})) {
    return tape->record(std::make_unique<L2NormalizeNode>(x, std::move(r)), std::move(y));
  }
  return y;
}

}  // namespace tessera::autograd
