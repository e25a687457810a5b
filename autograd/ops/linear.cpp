#include "autograd/ops/linear.h"

#include "autograd/tape.h"
#include "engine/ops/copy.h"

namespace tessera::autograd {
namespace {

/// The weight of a product: all rows or a range of them, and the kept pack of the whole.
struct Weight {
  Var var;
  RowRange rows;

  [[nodiscard]] bool whole() const { return rows.count < 0; }
  [[nodiscard]] Tensor value() const { return whole() ? var.value : var.value.slice(0, rows.begin, rows.count); }
  [[nodiscard]] Tensor pack(DType compute, Side side) const {
    Parameter* p = var.parameter;
    if (p == nullptr || !whole()) return {};
    refresh_packs(p->value, compute, p->version, p->packed);
    return p->packed.of(side);
  }
  /// The sink of the range's gradient. A fresh gradient is cleared first, since nothing may write the other rows.
  [[nodiscard]] GradOut sink(Tape& tape) const { return part(tape.sink(var.slot), rows); }

  [[nodiscard]] static GradOut part(GradOut out, RowRange rows) {
    if (!out || rows.count < 0) return out;
    if (out.mode == GradMode::overwrite) fill(out.tensor, 0.0);
    return {out.tensor.slice(0, rows.begin, rows.count), GradMode::accumulate};
  }
};

class LinearNode final : public Node {
 public:
  LinearNode(const Var& x, Weight w, const LinearInputs& in)
      : x_(x),
        w_(std::move(w)),
        bias_(in.bias.slot),
        residual_(in.residual.slot),
        residual_dtype_(in.residual.dtype()),
        row_scale_(in.row_scale),
        segments_(in.segments) {}
  [[nodiscard]] std::string_view name() const override { return "linear"; }
  [[nodiscard]] size_t saved_bytes() const override { return x_.bytes() + bytes_of({&row_scale_}); }

  void backward(Tape& tape, const Tensor& dy) override {
    const Tensor d = prepare_dy(dy, row_scale_, segments_, x_.dtype(), Weight::part(tape.sink(bias_), w_.rows));
    if (x_.slot()) {
      linear_grad_input(d, w_.value(), tape.sink(x_.slot()), {.pack = w_.pack(x_.dtype(), Side::grad_input)});
    }
    linear_grad_weight(d, x_.value(), w_.sink(tape));
    if (residual_) tape.give(residual_, dy.dtype() == residual_dtype_ ? dy : tessera::cast(dy, residual_dtype_));
  }

 private:
  Kept x_;
  Weight w_;
  Slot bias_, residual_;
  DType residual_dtype_;
  Tensor row_scale_;
  SegmentTable segments_;
};

class MlpNode final : public Node {
 public:
  MlpNode(const Var& x, const MlpInputs& in, Tensor pre)
      : x_(x), in_(in), residual_dtype_(in.residual.dtype()), pre_(std::move(pre)) {
    in_.residual = Var({}, in.residual.slot);  // its gradient needs no value
  }
  [[nodiscard]] std::string_view name() const override { return "mlp"; }
  [[nodiscard]] size_t saved_bytes() const override { return x_.bytes() + bytes_of({&pre_}); }

  void backward(Tape& tape, const Tensor& dy) override {
    const DType compute = x_.dtype();
    const Weight w1{in_.w1, {}};
    const Weight w2{in_.w2, {}};
    const Tensor d = prepare_dy(dy, in_.row_scale, in_.segments, compute, tape.sink(in_.b2.slot));
    const Tensor d_pre = Tensor::empty(pre_.shape(), compute, pre_.device());
    linear_grad_input(d, in_.w2.value, {d_pre, GradMode::overwrite},
                      {.pack = w2.pack(compute, Side::grad_input),
                       .act = in_.act,
                       .pre = pre_,
                       .value = pre_,
                       .col_sum = tape.sink(in_.b1.slot)});
    linear_grad_weight(d, pre_, w2.sink(tape));
    pre_ = {};
    linear_grad_weight(d_pre, x_.value(), w1.sink(tape));
    if (x_.slot()) {
      linear_grad_input(d_pre, in_.w1.value, tape.sink(x_.slot()), {.pack = w1.pack(compute, Side::grad_input)});
    }
    const Slot residual = in_.residual.slot;
    if (residual) tape.give(residual, dy.dtype() == residual_dtype_ ? dy : tessera::cast(dy, residual_dtype_));
  }

 private:
  Kept x_;
  MlpInputs in_;
  DType residual_dtype_;
  /// x W₁ᵀ + b₁. In the backward its activation, the hidden layer, takes its place, so that only one of them is kept.
  /// In bf16 that is the activation of the rounded `pre`.
  Tensor pre_;
};

}  // namespace

Var linear(const Var& x, const Var& w, const LinearInputs& in) {
  const Weight weight{w, in.rows};
  LinearOptions options;
  options.bias = in.bias && !weight.whole() ? in.bias.value.slice(0, in.rows.begin, in.rows.count) : in.bias.value;
  options.residual = in.residual.value;
  options.row_scale = in.row_scale;
  options.segments = in.segments;
  options.out_dtype = in.out_dtype;
  options.pack = weight.pack(x.dtype(), Side::forward);
  Tensor y = tessera::linear(x.value, weight.value(), options).y;
  if (Tape* tape = recording({&x, &w, &in.bias, &in.residual})) {
    return tape->record(std::make_unique<LinearNode>(x, weight, in), std::move(y));
  }
  return y;
}

Var mlp(const Var& x, const MlpInputs& in) {
  Tape* tape = recording({&x, &in.w1, &in.b1, &in.w2, &in.b2, &in.residual});
  LinearOptions first;
  first.act = in.act;
  first.bias = in.b1.value;
  first.out_dtype = x.dtype();
  first.pack = Weight{in.w1, {}}.pack(x.dtype(), Side::forward);
  first.save_pre = tape != nullptr;
  LinearResult hidden = tessera::linear(x.value, in.w1.value, first);

  LinearOptions second;
  second.bias = in.b2.value;
  second.residual = in.residual.value;
  second.row_scale = in.row_scale;
  second.segments = in.segments;
  second.out_dtype = in.out_dtype;
  second.pack = Weight{in.w2, {}}.pack(x.dtype(), Side::forward);
  Tensor y = tessera::linear(hidden.y, in.w2.value, second).y;
  if (tape != nullptr) {
    return tape->record(std::make_unique<MlpNode>(x, in, std::move(hidden.pre)), std::move(y));
  }
  return y;
}

}  // namespace tessera::autograd
