#include "autograd/ops/pointwise.h"

#include "autograd/tape.h"
#include "engine/ops/check.h"
#include "engine/ops/copy.h"
#include "engine/ops/reduce.h"

namespace tessera::autograd {
namespace {

/// The scalar 1 beside a tensor, in the type of its sums.
Tensor one(const Tensor& like) { return filled({}, 1.0, check::statistics(like.dtype()), like.device()); }

class UnaryNode final : public Node {
 public:
  UnaryNode(Unary op, const Var& x) : op_(op), x_(x) {}
  [[nodiscard]] std::string_view name() const override { return "unary"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&x_.value}); }
  void backward(Tape& tape, const Tensor& dy) override { unary_grad(op_, x_.value, dy, tape.sink(x_.slot)); }

 private:
  Unary op_;
  Var x_;
};

class BinaryNode final : public Node {
 public:
  BinaryNode(Binary op, const Var& a, const Var& b, double alpha) : op_(op), a_(a), b_(b), alpha_(alpha) {
    if (op != Binary::mul) a_.value = {};  // sums need no operand, only b's shape
  }
  [[nodiscard]] std::string_view name() const override { return "binary"; }
  [[nodiscard]] size_t saved_bytes() const override { return bytes_of({&a_.value, &b_.value}); }

  void backward(Tape& tape, const Tensor& dy) override {
    if (const GradOut da = tape.sink(a_.slot)) {
      binary_into(Binary::mul, dy, op_ == Binary::mul ? b_.value : one(dy), alpha_, da);
    }
    const GradOut db = tape.sink(b_.slot);
    if (!db) return;
    const double sign = op_ == Binary::sub ? -alpha_ : alpha_;
    if (b_.value.numel() == 1 && dy.numel() != 1) {
      sum_into(dy, op_ == Binary::mul ? tessera::cast(a_.value, dy.dtype()) : Tensor(), sign, db);
    } else {
      binary_into(Binary::mul, dy, op_ == Binary::mul ? a_.value : one(dy), sign, db);
    }
  }

 private:
  Binary op_;
  Var a_, b_;
  double alpha_;
};

class GiveNode final : public Node {
 public:
  GiveNode(const char* name, const Var& x) : name_(name), slot_(x.slot), dtype_(x.dtype()) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] size_t saved_bytes() const override { return 0; }
  void backward(Tape& tape, const Tensor& dy) override {
    tape.give(slot_, dy.dtype() == dtype_ ? dy : tessera::cast(dy, dtype_));
  }

 private:
  const char* name_;
  Slot slot_;
  DType dtype_;
};

}  // namespace

Var unary(Unary op, const Var& x) {
  Tensor y = tessera::unary(op, x.value);
  if (Tape* tape = recording({&x})) return tape->record(std::make_unique<UnaryNode>(op, x), std::move(y));
  return y;
}

Var binary(Binary op, const Var& a, const Var& b, double alpha) {
  Tensor z = tessera::binary(op, a.value, b.value, alpha);
  if (Tape* tape = recording({&a, &b})) {
    return tape->record(std::make_unique<BinaryNode>(op, a, b, alpha), std::move(z));
  }
  return z;
}

Var scale(const Var& x, double alpha) { return binary(Binary::mul, x, one(x.value), alpha); }

Var cast(const Var& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor y = tessera::cast(x.value, dtype);
  if (Tape* tape = recording({&x})) return tape->record(std::make_unique<GiveNode>("cast", x), std::move(y));
  return y;
}

Var reshape(const Var& x, const Shape& shape) {
  Tensor y = x.value.reshape(shape);
  if (Tape* tape = recording({&x})) return tape->record(std::make_unique<GiveNode>("reshape", x), std::move(y));
  return y;
}

}  // namespace tessera::autograd
