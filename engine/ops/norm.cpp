#include "engine/ops/norm.h"

#include <fmt/format.h>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"
#include "engine/ops/pointwise.h"

namespace tessera {
namespace {

/// Checks the type of an activation or its gradient: f32 or bf16 where statistics are f32, f64 where they are f64.
void check_narrow(const char* op, check::Operand operand, DType wide) {
  if (wide == DType::f64) {
    check::dtype(op, operand, {DType::f64});
  } else {
    check::dtype(op, operand, {DType::f32, DType::bf16});
  }
}

/// Checks an operand that may be absent: it has the device and type of x, and a shape of its own.
void check_beside(const char* op, const Tensor& x, check::Operand operand, const Shape& shape, const char* why) {
  if (!operand.tensor) return;
  (void)check::device(op, {{"x", x}, operand});
  check::shape(op, operand, shape, why);
  check::dtype(op, operand, {x.dtype()});
  check::contiguous(op, {operand});
}

}  // namespace

LayerNormResult layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps, DType out_dtype) {
  constexpr const char* kOp = "layer_norm";
  Context& c = check::device(kOp, {{"x", x}, {"gamma", gamma}, {"beta", beta}});
  check::rank(kOp, {"x", x}, 2);
  check::dtype(kOp, {"x", x}, {DType::f32, DType::f64});
  check::contiguous(kOp, {{"x", x}, {"gamma", gamma}, {"beta", beta}});
  check::shape(kOp, {"gamma", gamma}, {x.size(1)}, "last dim of x");
  check::shape(kOp, {"beta", beta}, {x.size(1)}, "last dim of x");
  check::dtype(kOp, {"gamma", gamma}, {x.dtype()});
  check::dtype(kOp, {"beta", beta}, {x.dtype()});
  LayerNormResult r;
  r.y = Tensor::empty(x.shape(), out_dtype, x.device());
  check_narrow(kOp, {"y", r.y}, x.dtype());
  r.mean = Tensor::empty({x.size(0)}, x.dtype(), x.device());
  r.rstd = Tensor::empty({x.size(0)}, x.dtype(), x.device());
  c.kernels().norm.layer_norm(
      c, {.x = x, .gamma = gamma, .beta = beta, .eps = eps, .y = r.y, .mean = r.mean, .rstd = r.rstd});
  return r;
}

void layer_norm_grad(const NormGradInputs& inputs, const NormGrads& grads) {
  const auto& [x, gamma, mean, rstd, dy] = inputs;
  const auto& [dx, dgamma, dbeta] = grads;
  constexpr const char* kOp = "layer_norm_grad";
  Context& c = check::device(kOp, {{"x", x}, {"gamma", gamma}, {"mean", mean}, {"rstd", rstd}, {"dy", dy}});
  check::rank(kOp, {"x", x}, 2);
  check::dtype(kOp, {"x", x}, {DType::f32, DType::f64});
  check::shape(kOp, {"dy", dy}, x.shape(), "the shape of x");
  check_narrow(kOp, {"dy", dy}, x.dtype());
  check::contiguous(kOp, {{"x", x}, {"dy", dy}});
  const Shape row{x.size(1)}, column{x.size(0)};
  check_beside(kOp, x, {"gamma", gamma}, row, "last dim of x");
  check_beside(kOp, x, {"mean", mean}, column, "rows of x");
  check_beside(kOp, x, {"rstd", rstd}, column, "rows of x");
  check_beside(kOp, x, {"dx", dx.tensor}, x.shape(), "the shape of x");
  check_beside(kOp, x, {"dgamma", dgamma.tensor}, row, "last dim of x");
  check_beside(kOp, x, {"dbeta", dbeta.tensor}, row, "last dim of x");
  c.kernels().norm.layer_norm_grad(c, {.x = x,
                                       .gamma = gamma,
                                       .mean = mean,
                                       .rstd = rstd,
                                       .dy = dy,
                                       .dx = dx.tensor,
                                       .dgamma = dgamma.tensor,
                                       .dbeta = dbeta.tensor,
                                       .dx_mode = dx.mode,
                                       .gamma_mode = dgamma.mode,
                                       .beta_mode = dbeta.mode});
}

L2NormalizeResult l2_normalize(const Tensor& x) {
  Context& c = check::device("l2_normalize", {{"x", x}});
  check::rank("l2_normalize", {"x", x}, 2);
  check::dtype("l2_normalize", {"x", x}, {DType::f32, DType::f64});
  check::contiguous("l2_normalize", {{"x", x}});
  L2NormalizeResult r;
  r.y = Tensor::empty(x.shape(), x.dtype(), x.device());
  r.norm = Tensor::empty({x.size(0)}, x.dtype(), x.device());
  c.kernels().norm.l2_normalize(c, {.x = x, .y = r.y, .norm = r.norm});
  return r;
}

void l2_normalize_grad(const Tensor& y, const Tensor& norm, const Tensor& dy, const GradOut& dx) {
  if (!dx) return;
  constexpr const char* kOp = "l2_normalize_grad";
  Context& c = check::device(kOp, {{"y", y}, {"norm", norm}, {"dy", dy}, {"dx", dx.tensor}});
  check::shape(kOp, {"dy", dy}, y.shape(), "the shape of y");
  check::shape(kOp, {"dx", dx.tensor}, y.shape(), "the shape of y");
  check::dtype(kOp, {"dy", dy}, {y.dtype()});
  check::dtype(kOp, {"dx", dx.tensor}, {y.dtype()});
  check::contiguous(kOp, {{"y", y}, {"dy", dy}, {"dx", dx.tensor}});
  c.kernels().norm.l2_normalize_grad(c, {.y = y, .norm = norm, .dy = dy, .dx = dx.tensor, .mode = dx.mode});
}

ColumnMoments column_moments(const Tensor& x) {
  constexpr const char* kOp = "column_moments";
  Context& c = check::device(kOp, {{"x", x}});
  check::rank(kOp, {"x", x}, 2);
  check::dtype(kOp, {"x", x}, {DType::f32, DType::f64});
  check::contiguous(kOp, {{"x", x}});
  ColumnMoments m{Tensor::empty({x.size(1)}, x.dtype(), x.device()), Tensor::empty({x.size(1)}, x.dtype(), x.device())};
  c.kernels().norm.column_moments(c, {.x = x, .mean = m.mean, .variance = m.variance});
  return m;
}

void update_moments(const ColumnMoments& batch, int64_t rows, double momentum, const ColumnMoments& kept) {
  if (rows < 2) {
    throw ShapeError(fmt::format("update_moments: moments of {} rows, expected at least 2 (unbiased variance)", rows));
  }
  axpby(momentum, batch.mean, 1.0 - momentum, kept.mean);
  const auto n = static_cast<double>(rows);
  axpby(momentum * n / (n - 1.0), batch.variance, 1.0 - momentum, kept.variance);
}

BatchNormResult batch_norm(const Tensor& x, const ColumnMoments& moments, const Tensor& gamma, const Tensor& beta,
                           double eps, DType out_dtype) {
  constexpr const char* kOp = "batch_norm";
  Context& c = check::device(kOp, {{"x", x}, {"mean", moments.mean}, {"variance", moments.variance}});
  check::rank(kOp, {"x", x}, 2);
  check::dtype(kOp, {"x", x}, {DType::f32, DType::f64});
  check::contiguous(kOp, {{"x", x}});
  const Shape row{x.size(1)};
  check_beside(kOp, x, {"mean", moments.mean}, row, "columns of x");
  check_beside(kOp, x, {"variance", moments.variance}, row, "columns of x");
  check_beside(kOp, x, {"gamma", gamma}, row, "columns of x");
  check_beside(kOp, x, {"beta", beta}, row, "columns of x");
  BatchNormResult r{Tensor::empty(x.shape(), out_dtype, x.device()), Tensor::empty(row, x.dtype(), x.device())};
  check_narrow(kOp, {"y", r.y}, x.dtype());
  c.kernels().norm.batch_norm(c, {.x = x,
                                  .mean = moments.mean,
                                  .variance = moments.variance,
                                  .gamma = gamma,
                                  .beta = beta,
                                  .eps = eps,
                                  .y = r.y,
                                  .rstd = r.rstd});
  return r;
}

void batch_norm_grad(const NormGradInputs& inputs, bool own_moments, const NormGrads& grads) {
  const auto& [x, gamma, mean, rstd, dy] = inputs;
  const auto& [dx, dgamma, dbeta] = grads;
  constexpr const char* kOp = "batch_norm_grad";
  Context& c = check::device(kOp, {{"x", x}, {"mean", mean}, {"rstd", rstd}, {"dy", dy}});
  check::rank(kOp, {"x", x}, 2);
  check::dtype(kOp, {"x", x}, {DType::f32, DType::f64});
  check::shape(kOp, {"dy", dy}, x.shape(), "the shape of x");
  check_narrow(kOp, {"dy", dy}, x.dtype());
  check::contiguous(kOp, {{"x", x}, {"dy", dy}});
  const Shape row{x.size(1)};
  for (const check::Operand o :
       {check::Operand{"gamma", gamma}, check::Operand{"mean", mean}, check::Operand{"rstd", rstd},
        check::Operand{"dgamma", dgamma.tensor}, check::Operand{"dbeta", dbeta.tensor}}) {
    check_beside(kOp, x, o, row, "columns of x");
  }
  check_beside(kOp, x, {"dx", dx.tensor}, x.shape(), "the shape of x");
  c.kernels().norm.batch_norm_grad(c, {.x = x,
                                       .gamma = gamma,
                                       .mean = mean,
                                       .rstd = rstd,
                                       .dy = dy,
                                       .own_moments = own_moments,
                                       .dx = dx.tensor,
                                       .dgamma = dgamma.tensor,
                                       .dbeta = dbeta.tensor,
                                       .dx_mode = dx.mode,
                                       .gamma_mode = dgamma.mode,
                                       .beta_mode = dbeta.mode});
}

}  // namespace tessera
