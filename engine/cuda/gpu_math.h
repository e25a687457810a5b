#pragma once

// One number per thread with the interface of engine/cpu/simd, so that the formulas of simd/math.h and ops/functors.h
// serve the device as they are; and conversions between the element types.
#include "engine/core/bfloat16.h"
#include "engine/core/dtype.h"
#include "engine/cuda/gpu.h"

#if defined(__CUDACC__)
#define TESSERA_INLINE __host__ __device__ __forceinline__
#else
#define TESSERA_INLINE inline __attribute__((always_inline))
#endif
#define TESSERA_HD TESSERA_INLINE
#define TESSERA_ISA device

namespace tessera::cpu::device {

template <class T>
struct Scalar {
  using Element = T;
  using Mask = bool;
  T v;

  Scalar() = default;
  TESSERA_INLINE explicit Scalar(float x) : v(static_cast<T>(x)) {}
  TESSERA_INLINE explicit Scalar(double x) : v(static_cast<T>(x)) {}
};
using VecF = Scalar<float>;
using VecD = Scalar<double>;

#define TESSERA_SCALAR_OPERATOR(op)                                \
  template <class T>                                               \
  TESSERA_INLINE Scalar<T> operator op(Scalar<T> a, Scalar<T> b) { \
    return Scalar<T>(a.v op b.v);                                  \
  }
TESSERA_SCALAR_OPERATOR(+)
TESSERA_SCALAR_OPERATOR(-)
TESSERA_SCALAR_OPERATOR(*)
TESSERA_SCALAR_OPERATOR(/)
#undef TESSERA_SCALAR_OPERATOR
#define TESSERA_SCALAR_COMPARISON(op)                         \
  template <class T>                                          \
  TESSERA_INLINE bool operator op(Scalar<T> a, Scalar<T> b) { \
    return a.v op b.v;                                        \
  }
TESSERA_SCALAR_COMPARISON(<)
TESSERA_SCALAR_COMPARISON(<=)
TESSERA_SCALAR_COMPARISON(>)
TESSERA_SCALAR_COMPARISON(>=)
TESSERA_SCALAR_COMPARISON(==)
#undef TESSERA_SCALAR_COMPARISON

template <class T>
TESSERA_INLINE Scalar<T> operator-(Scalar<T> a) {
  return Scalar<T>(-a.v);
}
template <class T>
TESSERA_INLINE Scalar<T> min(Scalar<T> a, Scalar<T> b) {  // b where either is NaN, as in simd.h
  return a.v < b.v ? a : b;
}
template <class T>
TESSERA_INLINE Scalar<T> max(Scalar<T> a, Scalar<T> b) {
  return a.v > b.v ? a : b;
}
template <class T>
TESSERA_INLINE Scalar<T> abs(Scalar<T> a) {
  return Scalar<T>(a.v < T(0) ? -a.v : a.v);
}
template <class T>
TESSERA_INLINE Scalar<T> select(bool mask, Scalar<T> a, Scalar<T> b) {
  return mask ? a : b;
}
TESSERA_INLINE VecF fma(VecF a, VecF b, VecF c) { return VecF(::fmaf(a.v, b.v, c.v)); }
TESSERA_INLINE VecD fma(VecD a, VecD b, VecD c) { return VecD(a.v * b.v + c.v); }
TESSERA_INLINE VecF fnma(VecF a, VecF b, VecF c) { return VecF(::fmaf(-a.v, b.v, c.v)); }
TESSERA_INLINE VecF round(VecF a) { return VecF(::rintf(a.v)); }
TESSERA_INLINE VecF scale2(VecF a, VecF n) { return VecF(::ldexpf(a.v, static_cast<int>(n.v))); }
TESSERA_INLINE VecF scale2_normal(VecF a, VecF n) { return scale2(a, n); }

}  // namespace tessera::cpu::device

#include "engine/cpu/simd/math.h"

namespace tessera::cuda {

using cpu::device::Scalar;

/// The type that computes on elements of type T: double for double, float for float and bfloat16.
template <class T>
struct ComputeOf {
  using Type = float;
};
template <>
struct ComputeOf<double> {
  using Type = double;
};
template <class T>
using Compute = typename ComputeOf<T>::Type;

/// An element as a number, and a number rounded once to an element, to nearest, ties to even.
__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline float widen(bfloat16 x) { return static_cast<float>(x); }
template <class T>
__device__ inline T narrow(Compute<T> x) {
  return x;
}
template <>
__device__ inline bfloat16 narrow<bfloat16>(float x) {
#if defined(__CUDA_ARCH__)
  return bfloat16::from_bits(__bfloat16_as_ushort(__float2bfloat16_rn(x)));
#else
  return bfloat16(x);
#endif
}

/// y (+)= x.
template <class T>
__device__ inline void put(T* y, Compute<T> x, bool accumulate) {
  *y = narrow<T>(accumulate ? widen(*y) + x : x);
}

/// The result of f for a zero of the element type: f32, bf16, or f64 for all others. On the host, to choose a kernel.
template <class F>
auto by_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float(0));
    case DType::bf16:
      return f(bfloat16());
    default:
      return f(double(0));
  }
}

}  // namespace tessera::cuda
