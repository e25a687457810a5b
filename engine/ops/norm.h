#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// Layer norm over the last extent: y = (x − mean) · rstd · gamma + beta, rstd = 1/√(var + eps), biased variance.
/// x [rows, D] f32 (f64), gamma, beta [D]; y f32 or bf16 (f64); mean, rstd [rows] f32 (f64) are saved for the backward.
/// Two passes over the row, so that a large mean costs no digits.
struct LayerNormArgs {
  View x, gamma, beta;
  double eps;
  View y, mean, rstd;
};
/// dx (+)=, dgamma (+)=, dbeta (+)=; each may be absent. dy f32 or bf16 (f64).
struct LayerNormGradArgs {
  View x, gamma, mean, rstd, dy;
  View dx, dgamma, dbeta;
  GradMode dx_mode, gamma_mode, beta_mode;
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

struct NormKernels {
  Kernel<LayerNormArgs> layer_norm;
  Kernel<LayerNormGradArgs> layer_norm_grad;
  Kernel<L2NormalizeArgs> l2_normalize;
  Kernel<L2NormalizeGradArgs> l2_normalize_grad;
};

struct LayerNormResult {
  Tensor y, mean, rstd;
};
[[nodiscard]] LayerNormResult layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                         DType out_dtype);
void layer_norm_grad(const Tensor& x, const Tensor& gamma, const Tensor& mean, const Tensor& rstd, const Tensor& dy,
                     const GradOut& dx, const GradOut& dgamma, const GradOut& dbeta);
struct L2NormalizeResult {
  Tensor y, norm;
};
[[nodiscard]] L2NormalizeResult l2_normalize(const Tensor& x);
void l2_normalize_grad(const Tensor& y, const Tensor& norm, const Tensor& dy, const GradOut& dx);

}  // namespace tessera
