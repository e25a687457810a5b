#include "engine/ops/norm.h"

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {

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
  if (x.dtype() == DType::f64) {
    check::dtype(kOp, {"y", r.y}, {DType::f64});
  } else {
    check::dtype(kOp, {"y", r.y}, {DType::f32, DType::bf16});
  }
  r.mean = Tensor::empty({x.size(0)}, x.dtype(), x.device());
  r.rstd = Tensor::empty({x.size(0)}, x.dtype(), x.device());
  c.kernels().norm.layer_norm(c, {x, gamma, beta, eps, r.y, r.mean, r.rstd});
  return r;
}

void layer_norm_grad(const Tensor& x, const Tensor& gamma, const Tensor& mean, const Tensor& rstd, const Tensor& dy,
                     const GradOut& dx, const GradOut& dgamma, const GradOut& dbeta) {
  constexpr const char* kOp = "layer_norm_grad";
  Context& c = check::device(kOp, {{"x", x}, {"gamma", gamma}, {"mean", mean}, {"rstd", rstd}, {"dy", dy}});
  check::rank(kOp, {"x", x}, 2);
  check::dtype(kOp, {"x", x}, {DType::f32, DType::f64});
  check::shape(kOp, {"dy", dy}, x.shape(), "the shape of x");
  if (x.dtype() == DType::f64) {
    check::dtype(kOp, {"dy", dy}, {DType::f64});
  } else {
    check::dtype(kOp, {"dy", dy}, {DType::f32, DType::bf16});
  }
  check::contiguous(kOp, {{"x", x}, {"dy", dy}});
  const Shape row{x.size(1)}, column{x.size(0)};
  const auto like_x = [&](check::Operand operand, const Shape& shape, const char* why) {
    if (!operand.tensor) return;
    (void)check::device(kOp, {{"x", x}, operand});
    check::shape(kOp, operand, shape, why);
    check::dtype(kOp, operand, {x.dtype()});
    check::contiguous(kOp, {operand});
  };
  like_x({"gamma", gamma}, row, "last dim of x");
  like_x({"mean", mean}, column, "rows of x");
  like_x({"rstd", rstd}, column, "rows of x");
  like_x({"dx", dx.tensor}, x.shape(), "the shape of x");
  like_x({"dgamma", dgamma.tensor}, row, "last dim of x");
  like_x({"dbeta", dbeta.tensor}, row, "last dim of x");
  c.kernels().norm.layer_norm_grad(
      c, {x, gamma, mean, rstd, dy, dx.tensor, dgamma.tensor, dbeta.tensor, dx.mode, dgamma.mode, dbeta.mode});
}

L2NormalizeResult l2_normalize(const Tensor& x) {
  Context& c = check::device("l2_normalize", {{"x", x}});
  check::rank("l2_normalize", {"x", x}, 2);
  check::dtype("l2_normalize", {"x", x}, {DType::f32, DType::f64});
  check::contiguous("l2_normalize", {{"x", x}});
  L2NormalizeResult r;
  r.y = Tensor::empty(x.shape(), x.dtype(), x.device());
  r.norm = Tensor::empty({x.size(0)}, x.dtype(), x.device());
  c.kernels().norm.l2_normalize(c, {x, r.y, r.norm});
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
  c.kernels().norm.l2_normalize_grad(c, {y, norm, dy, dx.tensor, dx.mode});
}

}  // namespace tessera
