#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// Layer norm over the last extent: y = (x − mean) · rstd · gamma + beta, rstd = 1/√(var + eps), biased variance.
/// x [rows, D] f32 (f64), gamma, beta [D]; y f32 or bf16 (f64); mean, rstd [rows] f32 (f64) are saved for the backward.
/// The kernel makes two passes over the row, so that a large mean costs no digits.
struct LayerNormArgs {
  View x, gamma, beta;
  double eps;
  View y, mean, rstd;
};
/// dx (+)=, dgamma (+)=, dbeta (+)=; each may be absent. dy f32 or bf16 (f64).
struct LayerNormGradArgs {
  View x, gamma, mean, rstd, dy;
  View dx{}, dgamma{}, dbeta{};
  GradMode dx_mode = GradMode::overwrite, gamma_mode = GradMode::overwrite, beta_mode = GradMode::overwrite;
};
/// y = x / max(‖x‖₂, 1e-12) for each row of x [rows, D]; norm [rows] is saved. f32 or f64.
struct L2NormalizeArgs {
  View x, y, norm;
};
/// dx (+)= (dy − y (y·dy)) / norm; rows with norm ≤ 1e-12: dy / 1e-12.
struct L2NormalizeGradArgs {
  View y, norm, dy, dx;
  GradMode mode;
};

/// Mean and biased variance [C] of each column of x [R, C], f32 or f64; zeros for R = 0. Computed in two
/// passes, so that a large mean costs no digits; sums use the fixed tree of reduce.h.
struct ColumnMomentsArgs {
  View x, mean, variance;
};
/// Batch norm over the rows of x [R, C] f32 (f64): y = (x − mean) · rstd · gamma + beta, rstd = 1/√(variance + eps).
/// mean and variance [C] are those of the batch or running ones; gamma, beta [C] may be absent, which means 1 and 0. y
/// f32 or bf16 (f64); rstd [C] f32 (f64) is saved.
struct BatchNormArgs {
  View x, mean, variance, gamma{}, beta{};
  double eps;
  View y, rstd;
};
/// With x̂ = (x − mean) · rstd: dgamma (+)= Σ_r dy x̂, dbeta (+)= Σ_r dy, and, where mean and variance are those of x
/// (`own_moments`), dx (+)= gamma rstd (dy − mean_r(dy) − x̂ mean_r(dy x̂)), else dx (+)= gamma rstd dy. Each may be
/// absent. dy f32 or bf16 (f64).
struct BatchNormGradArgs {
  View x, gamma{}, mean, rstd, dy;
  bool own_moments;
  View dx{}, dgamma{}, dbeta{};
  GradMode dx_mode = GradMode::overwrite, gamma_mode = GradMode::overwrite, beta_mode = GradMode::overwrite;
};

struct NormKernels {
  Kernel<LayerNormArgs> layer_norm;
  Kernel<LayerNormGradArgs> layer_norm_grad;
  Kernel<L2NormalizeArgs> l2_normalize;
  Kernel<L2NormalizeGradArgs> l2_normalize_grad;
  Kernel<ColumnMomentsArgs> column_moments;
  Kernel<BatchNormArgs> batch_norm;
  Kernel<BatchNormGradArgs> batch_norm_grad;
};

struct LayerNormResult {
  Tensor y, mean, rstd;
};
[[nodiscard]] LayerNormResult layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                         DType out_dtype);
/// What the backward of layer norm and of batch norm reads, and where its results go.
struct NormGradInputs {
  Tensor x, gamma{}, mean, rstd, dy{};
};
struct NormGrads {
  GradOut dx{}, dgamma{}, dbeta{};
};
void layer_norm_grad(const NormGradInputs& inputs, const NormGrads& grads);
struct L2NormalizeResult {
  Tensor y, norm;
};
[[nodiscard]] L2NormalizeResult l2_normalize(const Tensor& x);
void l2_normalize_grad(const Tensor& y, const Tensor& norm, const Tensor& dy, const GradOut& dx);

/// Mean and biased variance [C] of columns.
struct ColumnMoments {
  Tensor mean, variance;
};
[[nodiscard]] ColumnMoments column_moments(const Tensor& x);
/// Updates running moments in place by PyTorch's rule: kept += momentum · (batch − kept), where the batch's variance is
/// made unbiased, · rows / (rows − 1). `rows` is at least 2.
void update_moments(const ColumnMoments& batch, int64_t rows, double momentum, const ColumnMoments& kept);
struct BatchNormResult {
  Tensor y, rstd;
};
/// See BatchNormArgs; gamma and beta may be absent.
[[nodiscard]] BatchNormResult batch_norm(const Tensor& x, const ColumnMoments& moments, const Tensor& gamma,
                                         const Tensor& beta, double eps, DType out_dtype);
void batch_norm_grad(const NormGradInputs& inputs, bool own_moments, const NormGrads& grads);

}  // namespace tessera
