#include "engine/ops/pointwise.h"

#include "engine/ops/check.h"
#include "engine/ops/copy.h"
#include "engine/ops/kernels.h"

namespace tessera {
namespace {

void check_floating(const char* op, check::Operand x) { check::dtype(op, x, {DType::f32, DType::bf16, DType::f64}); }

}  // namespace

Tensor unary(Unary op, const Tensor& x) {
  Context& c = check::device("unary", {{"x", x}});
  check_floating("unary", {"x", x});
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  c.kernels().pointwise.unary(c, {.op = op, .x = x, .y = y});
  return y;
}

void unary_grad(Unary op, const Tensor& x, const Tensor& dy, const GradOut& dx) {
  if (!dx) return;
  Context& c = check::device("unary_grad", {{"x", x}, {"dy", dy}, {"dx", dx.tensor}});
  check_floating("unary_grad", {"x", x});
  check::shape("unary_grad", {"dy", dy}, x.shape(), "the shape of x");
  check::shape("unary_grad", {"dx", dx.tensor}, x.shape(), "the shape of x");
  check::dtype("unary_grad", {"dy", dy}, {x.dtype()});
  check::dtype("unary_grad", {"dx", dx.tensor}, {x.dtype()});
  c.kernels().pointwise.unary_grad(c, {.op = op, .x = x, .dy = dy, .dx = dx.tensor, .mode = dx.mode});
}

void binary_into(Binary op, const Tensor& a, const Tensor& b, double alpha, const GradOut& z) {
  if (!z) return;
  Context& c = check::device("binary", {{"a", a}, {"b", b}, {"z", z.tensor}});
  check_floating("binary", {"a", a});
  if (b.numel() != 1) check::shape("binary", {"b", b}, a.shape(), "the shape of a, or one element");
  check::shape("binary", {"z", z.tensor}, a.shape(), "the shape of a");
  for (const check::Operand o : {check::Operand{"b", b}, check::Operand{"z", z.tensor}}) {
    if (a.dtype() == DType::f64) {
      check::dtype("binary", o, {DType::f64});
    } else {
      check::dtype("binary", o, {DType::f32, DType::bf16});
    }
  }
  c.kernels().pointwise.binary(c, {.op = op, .a = a, .b = b, .z = z.tensor, .alpha = alpha, .mode = z.mode});
}

Tensor binary(Binary op, const Tensor& a, const Tensor& b, double alpha) {
  Tensor z = Tensor::empty(a.shape(), a.dtype(), a.device());
  binary_into(op, a, b, alpha, {z, GradMode::overwrite});
  return z;
}

Tensor scale(const Tensor& x, double alpha) {
  return binary(Binary::mul, x, filled({}, 1.0, check::statistics(x.dtype()), x.device()), alpha);
}

void axpby(double alpha, const Tensor& x, double beta, const Tensor& y) {
  Context& c = check::device("axpby", {{"x", x}, {"y", y}});
  check::dtype("axpby", {"x", x}, {DType::f32, DType::f64});
  check::dtype("axpby", {"y", y}, {x.dtype()});
  check::shape("axpby", {"y", y}, x.shape(), "the shape of x");
  check::contiguous("axpby", {{"x", x}, {"y", y}});
  c.kernels().pointwise.axpby(c, {.x = x, .y = y, .alpha = alpha, .beta = beta});
}

void clamp(const Tensor& y, double low, double high) {
  Context& c = check::device("clamp", {{"y", y}});
  check::dtype("clamp", {"y", y}, {DType::f32, DType::f64});
  check::contiguous("clamp", {{"y", y}});
  c.kernels().pointwise.clamp(c, {.y = y, .low = low, .high = high});
}

}  // namespace tessera
