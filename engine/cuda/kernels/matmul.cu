#include "engine/ops/matmul.h"

#include <utility>

#include "engine/cuda/product.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

/// A matrix of a batch by its lines along dimension `line` and its steps along the other one; both count from the end.
ProductOperand operand(const View& v, int line, int step) {
  return {.data = v.pointer,
          .line_stride = v.stride(line),
          .step_stride = v.stride(step),
          .batch_stride = v.rank == 3 ? v.stride(0) : 0};
}

void matmul(Context& context, const MatmulArgs& a) {
  Product p{.dtype = a.a.dtype,
            .m = a.c.size(-2),
            .n = a.c.size(-1),
            .k = a.a.size(-1),
            .batches = a.c.rank == 3 ? a.c.size(0) : 1,
            .left = operand(a.a, -2, -1),
            .right = operand(a.b, -1, -2),
            .alpha = a.alpha};
  p.y.data = a.c.pointer;
  p.y.dtype = a.c.dtype;
  p.y.row_stride = a.c.stride(-2);
  p.y_column_stride = a.c.stride(-1);
  p.y_batch_stride = a.c.rank == 3 ? a.c.stride(0) : 0;
  p.accumulate = a.mode == GradMode::accumulate;
  // Adjacent elements of the result should be columns. Where they are not, compute the transpose, cᵀ = bᵀ aᵀ.
  if (p.y_column_stride != 1 && p.y.row_stride == 1) {
    std::swap(p.m, p.n);
    std::swap(p.left, p.right);
    std::swap(p.y.row_stride, p.y_column_stride);
  }
  compute(context, p);
}

}  // namespace

const MatmulKernels kMatmulKernels{.matmul = matmul};

}  // namespace tessera::cuda
