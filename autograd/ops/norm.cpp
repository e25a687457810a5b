#include "autograd/ops/norm.h"

#include <fmt/format.h>

#include "autograd/tape.h"
#include "engine/core/error.h"

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

class BatchNormNode final : public Node {
 public:
  BatchNormNode(const Var& x, const Var& gamma, const Var& beta, Tensor mean, Tensor rstd, bool own_moments)
      : x_(x),
        gamma_(gamma),
        beta_(beta.slot),
        mean_(std::move(mean)),
        rstd_(std::move(rstd)),
        own_moments_(own_moments) {}
  [[nodiscard]] std::string_view name() const override { return "batch_norm"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&x_.value, &mean_, &rstd_}); }
  void backward(Tape& tape, const Tensor& dy) override {
    batch_norm_grad(x_.value, gamma_.value, mean_, rstd_, dy, own_moments_, tape.sink(x_.slot), tape.sink(gamma_.slot),
                    tape.sink(beta_));
  }

 private:
  Var x_, gamma_;
  Slot beta_;
  Tensor mean_, rstd_;
  bool own_moments_;
};

Var normalise_columns(const Var& x, const ColumnMoments& moments, const Var& gamma, const Var& beta, double eps,
                      DType out_dtype, bool own_moments) {
  BatchNormResult r = tessera::batch_norm(x.value, moments, gamma.value, beta.value, eps, out_dtype);
  if (Tape* tape = recording({&x, &gamma, &beta})) {
    return tape->record(std::make_unique<BatchNormNode>(x, gamma, beta, moments.mean, std::move(r.rstd), own_moments),
                        std::move(r.y));
  }
  return std::move(r.y);
}

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

BatchNorm batch_norm(const Var& x, const Var& gamma, const Var& beta, double eps, DType out_dtype) {
  ColumnMoments moments = column_moments(x.value);
  if (x.value.size(0) < 2) {
    throw ShapeError(fmt::format("batch_norm: x has shape {}, expected at least 2 rows", to_string(x.shape())));
  }
  Var y = normalise_columns(x, moments, gamma, beta, eps, out_dtype, true);
  return {std::move(y), std::move(moments)};
}

Var batch_norm_by(const Var& x, const ColumnMoments& kept, const Var& gamma, const Var& beta, double eps,
                  DType out_dtype) {
  return normalise_columns(x, kept, gamma, beta, eps, out_dtype, false);
}

}  // namespace tessera::autograd
