#include "engine/ops/pointwise.h"

#include "engine/cuda/strided.h"
#include "engine/cuda/tables.h"
#include "engine/ops/functors.h"

// Every kernel here is map_dense_kernel or map_strided_kernel of engine/cuda/strided.h: each operand moves once.

namespace tessera::cuda {
namespace {

/// f(zero of a functor's type) for the functor of a unary op: one line per op.
template <class Body>
void with_functor(Unary op, const Body& body) {
  switch (op) {
    case Unary::exp:
      return body(functors::Exp{});
    case Unary::gelu_erf:
      return body(functors::GeluErf{});
    case Unary::quick_gelu:
      return body(functors::QuickGelu{});
    case Unary::relu:
      return body(functors::Relu{});
  }
}

template <class F, class T>
struct Value {
  static constexpr bool reads_a = true, reads_b = false, reads_z = false;
  __device__ T operator()(T x, T, T) const { return narrow<T>(F::value(Scalar<Compute<T>>(widen(x))).v); }
};

void unary(Context& context, const UnaryArgs& a) {
  by_type(a.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    with_functor(a.op, [&](auto f) { map<T, T, T>(context, a.x, {}, a.y, Value<decltype(f), T>{}); });
  });
}

/// dx (+)= dy f'(x), with x and dy as the operands.
template <class F, class T>
struct Slope {
  static constexpr bool reads_a = true, reads_b = true;
  bool reads_z;
  __device__ T operator()(T x, T dy, T dx) const {
    const Compute<T> term = widen(dy) * F::slope(Scalar<Compute<T>>(widen(x))).v;
    return narrow<T>(reads_z ? widen(dx) + term : term);
  }
};

void unary_grad(Context& context, const UnaryGradArgs& a) {
  const bool accumulate = a.mode == GradMode::accumulate;
  by_type(a.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    with_functor(a.op, [&](auto f) { map<T, T, T>(context, a.x, a.dy, a.dx, Slope<decltype(f), T>{accumulate}); });
  });
}

/// z (+)= alpha f(a, b), where b is an operand or one element for all.
template <class A, class B, class Z>
struct Combined {
  static constexpr bool reads_a = true;
  Binary op;
  Compute<Z> alpha;
  const B* scalar;
  bool reads_b, reads_z;

  __device__ Z operator()(A a, B b, Z z) const {
    const Compute<Z> x = widen(a);
    const Compute<Z> y = widen(reads_b ? b : *scalar);
    const Compute<Z> term = alpha * (op == Binary::add ? x + y : op == Binary::sub ? x - y : x * y);
    return narrow<Z>(reads_z ? widen(z) + term : term);
  }
};

template <class A, class B, class Z>
void binary_as(Context& context, const BinaryArgs& a) {
  const bool one = a.b.numel() == 1;
  const Combined<A, B, Z> f{.op = a.op,
                            .alpha = static_cast<Compute<Z>>(a.alpha),
                            .scalar = one ? a.b.data<const B>() : nullptr,
                            .reads_b = !one,
                            .reads_z = a.mode == GradMode::accumulate};
  map<A, B, Z>(context, a.a, one ? View{} : a.b, a.z, f);
}

void binary(Context& context, const BinaryArgs& a) {
  if (a.a.dtype == DType::f64) return binary_as<double, double, double>(context, a);
  const auto narrow_type = [](DType dtype, auto f) { return dtype == DType::f32 ? f(float(0)) : f(bfloat16()); };
  narrow_type(a.a.dtype, [&](auto x) {
    narrow_type(a.b.dtype, [&](auto y) {
      narrow_type(a.z.dtype, [&](auto z) { binary_as<decltype(x), decltype(y), decltype(z)>(context, a); });
    });
  });
}

/// alpha x + beta y; an operand whose factor is 0 is not read.
template <class T>
struct Blend {
  static constexpr bool reads_b = false;
  T alpha, beta;
  bool reads_a, reads_z;

  __device__ T operator()(T x, T, T y) const {
    const T kept = beta * y;
    return reads_a ? fma(Scalar<T>(alpha), Scalar<T>(x), Scalar<T>(kept)).v : kept;
  }
};

void axpby(Context& context, const AxpbyArgs& a) {
  by_type(a.y.dtype, [&](auto zero) {
    using T = Compute<decltype(zero)>;
    const Blend<T> f{.alpha = static_cast<T>(a.alpha),
                     .beta = static_cast<T>(a.beta),
                     .reads_a = a.alpha != 0,
                     .reads_z = a.beta != 0};
    map<T, T, T>(context, a.x, {}, a.y, f);
  });
}

template <class T>
struct Bounded {
  static constexpr bool reads_a = false, reads_b = false, reads_z = true;
  T low, high;

  __device__ T operator()(T, T, T y) const { return min(Scalar<T>(high), max(Scalar<T>(low), Scalar<T>(y))).v; }
};

void clamp(Context& context, const ClampArgs& a) {
  by_type(a.y.dtype, [&](auto zero) {
    using T = Compute<decltype(zero)>;
    map<T, T, T>(context, {}, {}, a.y, Bounded<T>{static_cast<T>(a.low), static_cast<T>(a.high)});
  });
}

}  // namespace

const PointwiseKernels kPointwiseKernels{
    .unary = unary, .unary_grad = unary_grad, .binary = binary, .axpby = axpby, .clamp = clamp};

}  // namespace tessera::cuda
