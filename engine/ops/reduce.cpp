#include "engine/ops/reduce.h"

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {

void sum_into(const Tensor& x, const Tensor& w, double alpha, const GradOut& y) {
  if (!y) return;
  Context& c = check::device("sum", {{"x", x}, {"y", y.tensor}}, {{"w", w}});
  check::dtype("sum", {"x", x}, {DType::f32, DType::bf16, DType::f64});
  check::contiguous("sum", {{"x", x}, {"w", w}, {"y", y.tensor}});
  check::dtype("sum", {"y", y.tensor}, {check::statistics(x.dtype())});
  if (y.tensor.numel() != 1) check::shape("sum", {"y", y.tensor}, Shape{}, "a scalar");
  if (w) {
    check::shape("sum", {"w", w}, x.shape(), "the shape of x");
    check::dtype("sum", {"w", w}, {x.dtype()});
  }
  c.kernels().reduce.sum(c, {.x = x, .w = w, .y = y.tensor, .alpha = alpha, .mode = y.mode});
}

Tensor sum(const Tensor& x, double alpha) { return dot(x, {}, alpha); }

Tensor dot(const Tensor& x, const Tensor& w, double alpha) {
  Tensor y = Tensor::empty({}, check::statistics(x.dtype()), x.device());
  sum_into(x, w, alpha, {y, GradMode::overwrite});
  return y;
}

Tensor segment_mean(const Tensor& x, const SegmentTable& segments, int64_t skip) {
  Context& c = check::device("segment_mean", {{"x", x}});
  check::rank("segment_mean", {"x", x}, 2);
  check::dtype("segment_mean", {"x", x}, {DType::f32, DType::bf16, DType::f64});
  check::contiguous("segment_mean", {{"x", x}});
  check::segments("segment_mean", "segments", segments, x.size(0));
  Tensor y = Tensor::empty({segments.count(), x.size(1)}, x.dtype(), x.device());
  c.kernels().reduce.segment_mean(c, {.x = x, .segments = segments.on(c.device()), .skip = skip, .y = y});
  return y;
}

void segment_mean_grad(const Tensor& dy, const SegmentTable& segments, int64_t skip, const GradOut& dx) {
  if (!dx) return;
  Context& c = check::device("segment_mean_grad", {{"dy", dy}, {"dx", dx.tensor}});
  check::shape("segment_mean_grad", {"dy", dy}, {segments.count(), dx.tensor.size(-1)}, "segments, columns of dx");
  check::segments("segment_mean_grad", "segments", segments, dx.tensor.size(0));
  check::contiguous("segment_mean_grad", {{"dy", dy}, {"dx", dx.tensor}});
  check::dtype("segment_mean_grad", {"dy", dy}, {dx.tensor.dtype()});
  c.kernels().reduce.segment_mean_grad(
      c, {.dy = dy, .segments = segments.on(c.device()), .skip = skip, .dx = dx.tensor, .mode = dx.mode});
}

}  // namespace tessera
