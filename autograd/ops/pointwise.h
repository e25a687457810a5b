#pragma once

#include "autograd/variable.h"
#include "engine/ops/pointwise.h"

namespace tessera::autograd {

/// y = f(x).
[[nodiscard]] Var unary(Unary op, const Var& x);
/// alpha · f(a, b); b has a's shape or one element.
[[nodiscard]] Var binary(Binary op, const Var& a, const Var& b, double alpha = 1.0);
[[nodiscard]] inline Var add(const Var& a, const Var& b) { return binary(Binary::add, a, b); }
[[nodiscard]] inline Var sub(const Var& a, const Var& b) { return binary(Binary::sub, a, b); }
[[nodiscard]] inline Var mul(const Var& a, const Var& b) { return binary(Binary::mul, a, b); }
/// alpha · x.
[[nodiscard]] Var scale(const Var& x, double alpha);
/// x in another floating type; the gradient has x's type.
[[nodiscard]] Var cast(const Var& x, DType dtype);
/// The same elements in another shape.
[[nodiscard]] Var reshape(const Var& x, const Shape& shape);

}  // namespace tessera::autograd
