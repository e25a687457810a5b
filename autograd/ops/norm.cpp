#include "autograd/ops/norm.h"

#include <fmt/format.h>

#include <array>

#include "autograd/tape.h"
#include "engine/core/error.h"

namespace tessera::autograd {
namespace {

/// What layer norm and batch norm keep for their backward.
struct SavedNorm {
  SavedNorm(const Var& x, const Var& gamma, const Var& beta, Tensor mean, Tensor rstd)
      : slots{x.slot, gamma.slot, beta.slot},
        inputs{.x = x.value, .gamma = gamma.value, .mean = std::move(mean), .rstd = std::move(rstd)} {}
  [[nodiscard]] size_t bytes() const { return bytes_of({&inputs.x, &inputs.mean, &inputs.rstd}); }
  [[nodiscard]] NormGradInputs with(const Tensor& dy) const {
    NormGradInputs all = inputs;
    all.dy = dy;
    return all;
  }
  [[nodiscard]] NormGrads sinks(Tape& tape) const {
    return {.dx = tape.sink(slots[0]), .dgamma = tape.sink(slots[1]), .dbeta = tape.sink(slots[2])};
  }

  std::array<Slot, 3> slots;  // x, gamma, beta
  NormGradInputs inputs;
};

class LayerNormNode final : public Node {
 public:
  explicit LayerNormNode(SavedNorm saved) : saved_(std::move(saved)) {}
  [[nodiscard]] std::string_view name() const override { return "layer_norm"; }
  [[nodiscard]] size_t saved_bytes() const override { return saved_.bytes(); }
  void backward(Tape& tape, const Tensor& dy) override { layer_norm_grad(saved_.with(dy), saved_.sinks(tape)); }

 private:
  SavedNorm saved_;
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
  BatchNormNode(SavedNorm saved, bool own_moments) : saved_(std::move(saved)), own_moments_(own_moments) {}
  [[nodiscard]] std::string_view name() const override { return "batch_norm"; }
  [[nodiscard]] size_t saved_bytes() const override { return saved_.bytes(); }
  void backward(Tape& tape, const Tensor& dy) override {
    batch_norm_grad(saved_.with(dy), own_moments_, saved_.sinks(tape));
  }

 private:
  SavedNorm saved_;
  bool own_moments_;
};

Var normalise_columns(const Var& x, const ColumnMoments& moments, const Var& gamma, const Var& beta, double eps,
                      DType out_dtype, bool own_moments) {
  BatchNormResult r = tessera::batch_norm(x.value, moments, gamma.value, beta.value, eps, out_dtype);
  if (Tape* tape = recording({&x, &gamma, &beta})) {
    return tape->record(
        std::make_unique<BatchNormNode>(SavedNorm(x, gamma, beta, moments.mean, std::move(r.rstd)), own_moments),
        std::move(r.y));
  }
  return std::move(r.y);
}

}  // namespace

Var layer_norm(const Var& x, const Var& gamma, const Var& beta, double eps, DType out_dtype) {
  LayerNormResult r = tessera::layer_norm(x.value, gamma.value, beta.value, eps, out_dtype);
  if (Tape* tape = recording({&x, &gamma, &beta})) {
    Var y =
        tape->record(std::make_unique<LayerNormNode>(SavedNorm(x, gamma, beta, std::move(r.mean), std::move(r.rstd))),
                     std::move(r.y));
    // The node keeps x, so a product that reads y in its backward need not keep y too.
    y.remake = std::make_shared<const Remake>([x = x.value, gamma = gamma.value, beta = beta.value, eps, out_dtype] {
      return tessera::layer_norm(x, gamma, beta, eps, out_dtype).y;
    });
    return y;
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
