#include "engine/ops/linear.h"

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {
namespace {

void check_product_types(const char* op, const Tensor& x, const Tensor& w) {
  check::dtype(op, {"x", x}, {DType::f32, DType::bf16, DType::f64});
  check::dtype(op, {"w", w}, {check::statistics(x.dtype())});
}

void check_output_type(const char* op, check::Operand out, DType compute) {
  if (compute == DType::f64) {
    check::dtype(op, out, {DType::f64});
  } else {
    check::dtype(op, out, {DType::f32, compute});
  }
}

void check_row_scale(const char* op, const Tensor& row_scale, const SegmentTable& segments, int64_t rows,
                     DType compute) {
  if (!row_scale) return;
  check::segments(op, "segments of row_scale", segments, rows);
  check::shape(op, {"row_scale", row_scale}, {segments.count()}, "one per segment");
  check::dtype(op, {"row_scale", row_scale}, {check::statistics(compute)});
}

}  // namespace

LinearResult linear(const Tensor& x, const Tensor& w, const LinearOptions& o) {
  constexpr const char* kOp = "linear";
  Context& c =
      check::device(kOp, {{"x", x}, {"w", w}},
                    {{"bias", o.bias}, {"residual", o.residual}, {"row_scale", o.row_scale}, {"pack", o.pack}});
  check::rank(kOp, {"x", x}, 2);
  check::shape(kOp, {"w", w}, {-1, x.size(1)}, "columns of x");
  check_product_types(kOp, x, w);
  check::dense_rows(kOp, {{"x", x}, {"w", w}, {"residual", o.residual}});
  if (o.bias) {
    check::shape(kOp, {"bias", o.bias}, {w.size(0)}, "rows of w");
    check::dtype(kOp, {"bias", o.bias}, {w.dtype()});
    check::contiguous(kOp, {{"bias", o.bias}});
  }
  check_row_scale(kOp, o.row_scale, o.segments, x.size(0), x.dtype());
  LinearResult r;
  r.y = Tensor::empty({x.size(0), w.size(0)}, x.dtype() == DType::f64 ? DType::f64 : o.out_dtype, x.device());
  check_output_type(kOp, {"y", r.y}, x.dtype());
  if (o.residual) {
    check::shape(kOp, {"residual", o.residual}, r.y.shape(), "the result");
    check::dtype(kOp, {"residual", o.residual}, {r.y.dtype(), check::statistics(x.dtype())});
  }
  if (o.save_pre) r.pre = Tensor::empty(r.y.shape(), x.dtype(), x.device());
  c.kernels().linear.forward(c, {.x = x,
                                 .w = w,
                                 .pack = o.pack,
                                 .bias = o.bias,
                                 .residual = o.residual,
                                 .row_scale = o.row_scale,
                                 .segments = o.segments.on(c.device()),
                                 .act = o.act,
                                 .pre = r.pre,
                                 .y = r.y});
  return r;
}

Tensor prepare_dy(const Tensor& dy, const Tensor& row_scale, const SegmentTable& segments, DType compute,
                  const GradOut& col_sum) {
  constexpr const char* kOp = "prepare_dy";
  Context& c = check::device(kOp, {{"dy", dy}}, {{"row_scale", row_scale}, {"col_sum", col_sum.tensor}});
  check::rank(kOp, {"dy", dy}, 2);
  check::dense_rows(kOp, {{"dy", dy}});
  check_row_scale(kOp, row_scale, segments, dy.size(0), dy.dtype());
  if (col_sum) check::shape(kOp, {"col_sum", col_sum.tensor}, {dy.size(1)}, "columns of dy");
  const bool same = dy.dtype() == compute && !row_scale;
  if (same && !col_sum) return dy;
  Tensor out = same ? Tensor() : Tensor::empty(dy.shape(), compute, dy.device());
  c.kernels().linear.prepare_dy(c, {.dy = dy,
                                    .row_scale = row_scale,
                                    .segments = segments.on(c.device()),
                                    .out = out,
                                    .col_sum = col_sum.tensor,
                                    .sum_mode = col_sum.mode});
  return same ? dy : out;
}

void linear_grad_input(const Tensor& dy, const Tensor& w, const GradOut& dx, const LinearDxOptions& o) {
  if (!dx) return;
  constexpr const char* kOp = "linear_grad_input";
  Context& c = check::device(kOp, {{"dy", dy}, {"w", w}, {"dx", dx.tensor}},
                             {{"pre", o.pre}, {"value", o.value}, {"pack", o.pack}, {"col_sum", o.col_sum.tensor}});
  check_product_types(kOp, dy, w);
  check::shape(kOp, {"dy", dy}, {-1, w.size(0)}, "rows of w");
  check::shape(kOp, {"dx", dx.tensor}, {dy.size(0), w.size(1)}, "rows of dy, columns of w");
  check_output_type(kOp, {"dx", dx.tensor}, dy.dtype());
  check::dense_rows(kOp, {{"dy", dy}, {"w", w}, {"dx", dx.tensor}, {"pre", o.pre}, {"value", o.value}});
  if (o.act != Act::none) check::shape(kOp, {"pre", o.pre}, dx.tensor.shape(), "the shape of dx");
  if (o.value) {
    check::shape(kOp, {"value", o.value}, o.pre.shape(), "the shape of pre");
    check::dtype(kOp, {"value", o.value}, {dy.dtype()});
  }
  if (o.col_sum) check::shape(kOp, {"col_sum", o.col_sum.tensor}, {w.size(1)}, "columns of w");
  c.kernels().linear.grad_input(c, {.dy = dy,
                                    .w = w,
                                    .pack = o.pack,
                                    .pre = o.pre,
                                    .act = o.act,
                                    .dx = dx.tensor,
                                    .value = o.value,
                                    .col_sum = o.col_sum.tensor,
                                    .mode = dx.mode,
                                    .sum_mode = o.col_sum.mode});
}

void linear_grad_weight(const Tensor& dy, const Tensor& x, const GradOut& dw) {
  if (!dw) return;
  constexpr const char* kOp = "linear_grad_weight";
  Context& c = check::device(kOp, {{"dy", dy}, {"x", x}, {"dw", dw.tensor}});
  check::shape(kOp, {"dy", dy}, {x.size(0), -1}, "rows of x");
  check::shape(kOp, {"dw", dw.tensor}, {dy.size(1), x.size(1)}, "columns of dy, columns of x");
  check::dtype(kOp, {"dy", dy}, {x.dtype()});
  check::dtype(kOp, {"dw", dw.tensor}, {check::statistics(x.dtype())});
  check::dense_rows(kOp, {{"dy", dy}, {"x", x}, {"dw", dw.tensor}});
  c.kernels().linear.grad_weight(c, {.dy = dy, .x = x, .dw = dw.tensor, .mode = dw.mode});
}

void refresh_packs(const Tensor& w, DType compute, uint64_t version, Packed& packed) {
  Context& c = check::device("pack", {{"w", w}}, {{"forward", packed.forward}, {"grad_input", packed.grad_input}});
  const KernelTable& table = c.kernels();
  if (packed.table == &table && packed.compute == compute && packed.version == version) return;
  const MemoryTag tag("packed weights");
  const auto make = [&](Side side, Tensor& bytes) {
    const auto size = static_cast<int64_t>(table.linear.pack_bytes(w.size(0), w.size(1), compute, side));
    if (size == 0) {
      bytes = {};
    } else if (!bytes || bytes.numel() != size) {
      bytes = Tensor::empty({size}, DType::u8, w.device());
    }
  };
  make(Side::forward, packed.forward);
  make(Side::grad_input, packed.grad_input);
  if (packed.forward || packed.grad_input) {
    table.linear.pack(c, {.w = w, .compute = compute, .forward = packed.forward, .grad_input = packed.grad_input});
  }
  packed.compute = compute;
  packed.version = version;
  packed.table = &table;
}

}  // namespace tessera
