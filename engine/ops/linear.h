#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// Activations that a product can apply in its epilogue.
enum class Act : uint8_t { none, gelu_erf, quick_gelu };

/// The product that a pack is made for: forward reduces over K, grad_input over N.
enum class Side : uint8_t { forward, grad_input };

// Precision of the family: x's dtype is the compute dtype. Under f32 everything is f32, under f64 everything f64. Under
// bf16, w is the f32 master (rounded to bf16 as it is packed), products accumulate in f32, bias, residual and row_scale
// are f32, `pre` is bf16, and y is bf16 or f32. All 2D operands are row-major with contiguous columns; rows may be
// strided.

/// y [M,N] = residual + row_scale[segment of row] · act(x Wᵀ + b). x [M,K], w [N,K], bias [N], residual [M,N] (y's
/// dtype or f32), row_scale [segments], pre [M,N] receives x Wᵀ + b. `pack` holds bytes made by PackArgs for
/// Side::forward; when it is absent, w is packed during the call. y may be residual (in place). M, N or K may be 0, and
/// for K = 0 the product is zero.
struct LinearArgs {
  View x, w, pack{}, bias{}, residual{}, row_scale{};
  Segments segments{};
  Act act = Act::none;
  View pre{}, y;
};
/// out [M,N] = cast(row_scale · dy), and col_sum [N] (+)= the sum over the rows of row_scale · dy in f32. Either result
/// may be absent.
struct PrepareArgs {
  View dy, row_scale{};
  Segments segments{};
  View out{}, col_sum{};
  GradMode sum_mode = GradMode::overwrite;
};
/// dx [M,K] (+)= (dy W) · act'(pre); col_sum [K] (+)= the column sums of what was added, taken in f32 before rounding.
/// dy [M,N] in the compute dtype, pre [M,K] (absent for Act::none), dx compute dtype or f32. `value` [M,K], in the
/// compute dtype, receives act(pre), and nothing for Act::none; it may be pre. `pack` holds bytes for Side::grad_input,
/// or for Side::forward from a table that keeps no pack for Side::grad_input.
struct LinearDxArgs {
  View dy, w, pack{}, pre{};
  Act act = Act::none;
  View dx, value{}, col_sum{};
  GradMode mode, sum_mode = GradMode::overwrite;
};
/// dw [N,K] (+)= dyᵀ x; dw is f32 (f64 under f64).
struct LinearDwArgs {
  View dy, x, dw;
  GradMode mode;
};
/// Packs w [N,K] for each side whose destination is present. `compute` is the dtype of x.
struct PackArgs {
  View w;
  DType compute;
  View forward{}, grad_input{};  // u8
};

struct LinearKernels {
  Kernel<LinearArgs> forward;
  Kernel<PrepareArgs> prepare_dy;
  Kernel<LinearDxArgs> grad_input;
  Kernel<LinearDwArgs> grad_weight;
  Kernel<PackArgs> pack;
  /// Bytes of a kept pack. 0 where keeping one does not pay: in f32, where two packs would double a model's memory, and
  /// in f64. A table whose forward pack serves both products keeps none for Side::grad_input.
  size_t (*pack_bytes)(int64_t n, int64_t k, DType compute, Side side);
};

/// Packed weights, kept beside a parameter. They are remade when the parameter has a newer version.
struct Packed {
  Tensor forward, grad_input;  // u8 bytes, absent where the table keeps none
  DType compute = DType::f32;
  uint64_t version = 0;
  const void* table = nullptr;  // the kernel table that made them

  /// What a product of this side takes: where no pack is kept for the gradient of the input, the forward one.
  [[nodiscard]] const Tensor& of(Side side) const {
    return side == Side::grad_input && grad_input ? grad_input : forward;
  }
};

/// Optional parts of a forward product; see LinearArgs.
struct LinearOptions {
  Act act = Act::none;
  Tensor bias{}, residual{}, row_scale{};
  SegmentTable segments{};  // of row_scale
  DType out_dtype = DType::f32;
  Tensor pack{};
  bool save_pre = false;
};
struct LinearResult {
  Tensor y, pre;
};
/// See LinearArgs. Throws ShapeError or DTypeError naming the operand.
[[nodiscard]] LinearResult linear(const Tensor& x, const Tensor& w, const LinearOptions& options);

/// See PrepareArgs. Returns `out` in the type `compute`, or dy itself when nothing changes. col_sum may be absent.
[[nodiscard]] Tensor prepare_dy(const Tensor& dy, const Tensor& row_scale, const SegmentTable& segments, DType compute,
                                const GradOut& col_sum);
/// Optional parts of the gradient of the input; see LinearDxArgs.
struct LinearDxOptions {
  Tensor pack{};
  Act act = Act::none;
  Tensor pre{}, value{};
  GradOut col_sum{};
};
void linear_grad_input(const Tensor& dy, const Tensor& w, const GradOut& dx, const LinearDxOptions& options = {});
void linear_grad_weight(const Tensor& dy, const Tensor& x, const GradOut& dw);
/// Makes the packs of w for products in `compute`, unless `packed` has them for this version and kernel table.
void refresh_packs(const Tensor& w, DType compute, uint64_t version, Packed& packed);

}  // namespace tessera
