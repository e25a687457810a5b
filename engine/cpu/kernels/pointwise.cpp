#include "engine/ops/pointwise.h"

#include "engine/cpu/strided.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/simd/loops.h"
#include "engine/cpu/simd/math.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

/// Calls body.run<F>() with the functor of a unary op: one line per op.
template <class Body>
void with_functor(Unary op, const Body& body) {
  switch (op) {
    case Unary::exp:
      return body.template run<functors::Exp>();
    case Unary::gelu_erf:
      return body.template run<functors::GeluErf>();
    case Unary::quick_gelu:
      return body.template run<functors::QuickGelu>();
    case Unary::relu:
      return body.template run<functors::Relu>();
  }
}
template <class Body>
void with_functor(Binary op, const Body& body) {
  switch (op) {
    case Binary::add:
      return body.template run<functors::Add>();
    case Binary::sub:
      return body.template run<functors::Sub>();
    case Binary::mul:
      return body.template run<functors::Mul>();
  }
}

template <class T>
struct UnaryBody {
  Context& context;
  const UnaryArgs& a;
  template <class F>
  void run() const {
    using V = typename VecOf<T>::Type;
    const StridedOperand operands[] = {{a.x, true, false}, {a.y, false, true}};
    for_each_run(context, operands, [](void* const* p, int64_t n) {
      const auto* x = static_cast<const T*>(p[0]);
      auto* y = static_cast<T*>(p[1]);
      sweep<V>(
          n, [&](int64_t i, auto count) TESSERA_INLINE_BODY { store(F::value(load<V>(x + i, count)), y + i, count); });
    });
  }
};

void unary(Context& context, const UnaryArgs& a) {
  switch (a.x.dtype) {
    case DType::f32:
      return with_functor(a.op, UnaryBody<float>{context, a});
    case DType::bf16:
      return with_functor(a.op, UnaryBody<bfloat16>{context, a});
    default:
      return with_functor(a.op, UnaryBody<double>{context, a});
  }
}

template <class T>
struct UnaryGradBody {
  Context& context;
  const UnaryGradArgs& a;
  template <class F>
  void run() const {
    using V = typename VecOf<T>::Type;
    const bool accumulate = a.mode == GradMode::accumulate;
    const StridedOperand operands[] = {{a.x, true, false}, {a.dy, true, false}, {a.dx, accumulate, true}};
    for_each_run(context, operands, [&](void* const* p, int64_t n) {
      const auto* x = static_cast<const T*>(p[0]);
      const auto* dy = static_cast<const T*>(p[1]);
      auto* dx = static_cast<T*>(p[2]);
      sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        put(load<V>(dy + i, count) * F::slope(load<V>(x + i, count)), dx + i, accumulate, count);
      });
    });
  }
};

void unary_grad(Context& context, const UnaryGradArgs& a) {
  switch (a.x.dtype) {
    case DType::f32:
      return with_functor(a.op, UnaryGradBody<float>{context, a});
    case DType::bf16:
      return with_functor(a.op, UnaryGradBody<bfloat16>{context, a});
    default:
      return with_functor(a.op, UnaryGradBody<double>{context, a});
  }
}

template <class T>
double scalar_of(const View& b) {
  return static_cast<double>(*b.data<T>());
}
double scalar_of(const View& b) {
  return by_type(b.dtype, [&](auto zero) { return scalar_of<decltype(zero)>(b); });
}

template <class A, class B, class Z>
struct BinaryBody {
  Context& context;
  const BinaryArgs& a;
  template <class F>
  void run() const {
    if (a.b.numel() == 1) {
      run_scalar<F>();
    } else {
      run_equal<F>();
    }
  }

 private:
  using V = typename VecOf<Z>::Type;

  template <class F>
  void run_equal() const {
    const bool accumulate = a.mode == GradMode::accumulate;
    const V alpha(a.alpha);
    const StridedOperand operands[] = {{a.a, true, false}, {a.b, true, false}, {a.z, accumulate, true}};
    for_each_run(context, operands, [&](void* const* p, int64_t n) {
      const auto* x = static_cast<const A*>(p[0]);
      const auto* w = static_cast<const B*>(p[1]);
      auto* z = static_cast<Z*>(p[2]);
      sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        put(alpha * F::value(load<V>(x + i, count), load<V>(w + i, count)), z + i, accumulate, count);
      });
    });
  }
  template <class F>
  void run_scalar() const {
    const bool accumulate = a.mode == GradMode::accumulate;
    const V alpha(a.alpha);
    const V w(scalar_of(a.b));
    const StridedOperand operands[] = {{a.a, true, false}, {a.z, accumulate, true}};
    for_each_run(context, operands, [&](void* const* p, int64_t n) {
      const auto* x = static_cast<const A*>(p[0]);
      auto* z = static_cast<Z*>(p[1]);
      sweep<V>(n, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        put(alpha * F::value(load<V>(x + i, count), w), z + i, accumulate, count);
      });
    });
  }
};

template <class A, class B>
void binary_to(Context& context, const BinaryArgs& a) {
  if (a.z.dtype == DType::f32) return with_functor(a.op, BinaryBody<A, B, float>{context, a});
  return with_functor(a.op, BinaryBody<A, B, bfloat16>{context, a});
}
template <class A>
void binary_with(Context& context, const BinaryArgs& a) {
  if (a.b.dtype == DType::f32) return binary_to<A, float>(context, a);
  return binary_to<A, bfloat16>(context, a);
}

void binary(Context& context, const BinaryArgs& a) {
  switch (a.a.dtype) {
    case DType::f32:
      return binary_with<float>(context, a);
    case DType::bf16:
      return binary_with<bfloat16>(context, a);
    default:
      return with_functor(a.op, BinaryBody<double, double, double>{context, a});
  }
}

template <class T>
void axpby_as(Context& context, const AxpbyArgs& a) {
  using V = typename VecOf<T>::Type;
  const V alpha(a.alpha);
  const V beta(a.beta);
  const auto* x = a.x.data<const T>();
  auto* y = a.y.data<T>();
  parallel_for(context, a.y.numel(), kGrain, [&](int64_t begin, int64_t end, int) {
    if (a.beta == 0) {
      sweep<V>(end - begin, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        store(a.alpha == 0 ? V(0.0) : alpha * load<V>(x + begin + i, count), y + begin + i, count);
      });
    } else if (a.alpha == 0) {
      sweep<V>(end - begin, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        store(beta * load<V>(y + begin + i, count), y + begin + i, count);
      });
    } else {
      sweep<V>(end - begin, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
        const V kept = beta * load<V>(y + begin + i, count);
        store(fma(alpha, load<V>(x + begin + i, count), kept), y + begin + i, count);
      });
    }
  });
}

void axpby(Context& context, const AxpbyArgs& a) {
  if (a.y.dtype == DType::f64) return axpby_as<double>(context, a);
  return axpby_as<float>(context, a);
}

template <class T>
void clamp_as(Context& context, const ClampArgs& a) {
  using V = typename VecOf<T>::Type;
  const V low(a.low);
  const V high(a.high);
  auto* y = a.y.data<T>();
  parallel_for(context, a.y.numel(), kGrain, [&](int64_t begin, int64_t end, int) {
    sweep<V>(end - begin, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
      store(min(high, max(low, load<V>(y + begin + i, count))), y + begin + i, count);
    });
  });
}

void clamp(Context& context, const ClampArgs& a) {
  if (a.y.dtype == DType::f64) return clamp_as<double>(context, a);
  return clamp_as<float>(context, a);
}

}  // namespace

extern const PointwiseKernels kPointwiseKernels;
const PointwiseKernels kPointwiseKernels{
    .unary = unary, .unary_grad = unary_grad, .binary = binary, .axpby = axpby, .clamp = clamp};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
