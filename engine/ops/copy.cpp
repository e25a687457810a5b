#include "engine/ops/copy.h"

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {

void copy_into(const Tensor& x, const Tensor& y, GradMode mode) {
  if (x && y && !(x.device() == y.device())) {
    check::shape("copy", {"y", y}, x.shape(), "the shape of x");
    return copy_into((x.dtype() == y.dtype() ? contiguous(x) : cast(x, y.dtype())).to(y.device()), y, mode);
  }
  Context& c = check::device("copy", {{"x", x}, {"y", y}});
  check::shape("copy", {"y", y}, x.shape(), "the shape of x");
  if (!is_floating(y.dtype()) && y.dtype() != x.dtype()) {
    check::dtype("copy", {"x", x}, {y.dtype()});
  }
  c.kernels().copy.copy(c, {.x = x, .y = y, .mode = mode});
}

Tensor cast(const Tensor& x, DType dtype) {
  Tensor y = Tensor::empty(x.shape(), dtype, x.device());
  copy_into(x, y);
  return y;
}

Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : clone(x); }

Tensor clone(const Tensor& x) { return cast(x, x.dtype()); }

void fill(const Tensor& y, double value) {
  Context& c = check::device("fill", {{"y", y}});
  c.kernels().copy.fill(c, {.y = y, .value = value});
}

Tensor filled(const Shape& shape, double value, DType dtype, Device device) {
  Tensor y = Tensor::empty(shape, dtype, device);
  fill(y, value);
  return y;
}

void add_diagonal(const Tensor& y, double value) {
  Context& c = check::device("add_diagonal", {{"y", y}});
  check::rank("add_diagonal", {"y", y}, 2);
  check::dtype("add_diagonal", {"y", y}, {DType::f32, DType::bf16, DType::f64});
  c.kernels().copy.add_diagonal(c, {.y = y, .value = value});
}

Tensor concatenate_rows(std::span<const Tensor> parts) {
  if (parts.empty()) return {};
  int64_t rows = 0;
  for (const Tensor& p : parts) rows += p.size(0);
  Tensor all = Tensor::empty({rows, parts[0].size(1)}, parts[0].dtype(), parts[0].device());
  int64_t at = 0;
  for (const Tensor& p : parts) {
    copy_into(p, all.slice(0, at, p.size(0)));
    at += p.size(0);
  }
  return all;
}

}  // namespace tessera
