#include "engine/ops/matmul.h"

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {

void matmul_into(const Tensor& a, const Tensor& b, double alpha, const GradOut& c) {
  if (!c) return;
  Context& ctx = check::device("matmul", {{"a", a}, {"b", b}, {"c", c.tensor}});
  if (a.rank() != 3) check::rank("matmul", {"a", a}, 2);
  check::rank("matmul", {"b", b}, a.rank());
  check::dtype("matmul", {"a", a}, {DType::f32, DType::bf16, DType::f64});
  check::dtype("matmul", {"b", b}, {a.dtype()});
  check::dtype("matmul", {"c", c.tensor}, {check::statistics(a.dtype())});
  if (a.rank() == 2) {
    check::shape("matmul", {"b", b}, {a.size(1), -1}, "rows as columns of a");
    check::shape("matmul", {"c", c.tensor}, {a.size(0), b.size(1)}, "rows of a, columns of b");
  } else {
    check::shape("matmul", {"b", b}, {a.size(0), a.size(2), -1}, "batches of a, rows as columns of a");
    check::shape("matmul", {"c", c.tensor}, {a.size(0), a.size(1), b.size(2)}, "batches, rows of a, columns of b");
  }
  ctx.kernels().matmul.matmul(ctx, {.a = a, .b = b, .c = c.tensor, .alpha = alpha, .mode = c.mode});
}

Tensor matmul(const Tensor& a, const Tensor& b, double alpha) {
  if (a.rank() != 3) check::rank("matmul", {"a", a}, 2);
  check::rank("matmul", {"b", b}, a.rank());
  Shape shape = a.shape();
  shape[-1] = b.size(-1);
  Tensor c = Tensor::empty(shape, check::statistics(a.dtype()), a.device());
  matmul_into(a, b, alpha, {c, GradMode::overwrite});
  return c;
}

}  // namespace tessera
