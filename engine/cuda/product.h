#pragma once

// One product of matrices with everything that is done to its result. The linear family and matmul describe what they
// need; a provider computes it.
#include "engine/ops/linear.h"

namespace tessera::cuda {

/// An operand [lines, k]: element (line, step) is data[line · line_stride + step · step_stride]. A row-major matrix has
/// step_stride 1, a transposed one line_stride 1, and other strides are allowed. Strides count elements.
struct ProductOperand {
  const void* data = nullptr;
  int64_t line_stride = 0;
  int64_t step_stride = 1;
  int64_t batch_stride = 0;
};

/// A row-major matrix [m, n] that the epilogue reads or writes; null where absent.
struct ProductMatrix {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t row_stride = 0;

  ProductMatrix() = default;
  explicit ProductMatrix(const View& view)
      : data(view.pointer), dtype(view.dtype), row_stride(view ? view.stride(0) : 0) {}
};

/// With s = alpha · left rightᵀ, summed in the wide type (f64 for f64 operands, else f32):
///
///   forward, slope false:  t = s + bias;  pre = t;  y (+)= residual + row_scale · act(t)
///   backward, slope true:  y (+)= s · act'(pre)
///
/// column_sums (+)= the sums over the rows of what y received, taken before it is rounded. Absent parts are left out.
struct Product {
  DType dtype = DType::f32;  // of left and right: bf16, f32 or f64
  int64_t m = 0, n = 0, k = 0;
  int64_t batches = 1;             // more than one: alpha and accumulate only
  ProductOperand left{}, right{};  // [m, k] and [n, k]

  double alpha = 1;
  const void* bias = nullptr;       // [n], wide
  const void* row_scale = nullptr;  // [m], wide
  Act act = Act::none;
  bool slope = false;
  ProductMatrix pre{};       // in `dtype`; written, or read with slope
  ProductMatrix residual{};  // wide or bf16; may be y
  ProductMatrix y{};         // wide or bf16
  int64_t y_column_stride = 1;
  int64_t y_batch_stride = 0;
  bool accumulate = false;
  View column_sums{};  // [n], wide
  GradMode sum_mode = GradMode::overwrite;
  /// The sum over k may be cut into parts that are added in order afterwards. For gradients of weights, where k counts
  /// the rows of a batch; elsewhere a row's result must not depend on the number of rows.
  bool split = false;
};

/// Computes a product of any kind with own kernels. Nothing happens when m or n is 0; with k = 0 the sums are zero.
void own_product(Context& context, const Product& product);
/// Computes a product with the provider that is chosen for it.
void compute(Context& context, const Product& product);

}  // namespace tessera::cuda
