#pragma once

// Rows that a warp keeps in registers, and functions of one number.
#include <type_traits>

#include "engine/cuda/gpu_rows.h"
#include "engine/cuda/gpu_vector.h"

namespace tessera::cuda {

__device__ inline float root(float x) { return ::sqrtf(x); }
__device__ inline double root(double x) { return ::sqrt(x); }
__device__ inline float exponential(float x) { return ::expf(x); }
__device__ inline double exponential(double x) { return ::exp(x); }
__device__ inline float logarithm(float x) { return ::logf(x); }
__device__ inline double logarithm(double x) { return ::log(x); }
/// a b + c, in one rounding for float.
__device__ inline float multiply_add(float a, float b, float c) { return ::fmaf(a, b, c); }
__device__ inline double multiply_add(double a, double b, double c) { return a * b + c; }

/// Calls f(k, i) for each of this lane's K groups of V adjacent elements that lies inside a row of n elements, which is
/// a multiple of V; i is the group's first element. Adjacent lanes have adjacent groups.
template <int V, int K, class F>
__device__ inline void each_group(int lane, int n, const F& f) {
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int i = (k * kWarp + lane) * V;
    if (i < n) f(k, i);
  }
}

/// Chooses V and K for a row of n elements of E: calls f with both as integral constants and returns true, or returns
/// false for a row that is too long for the registers of a warp: beyond 1,024 elements, or fewer one by one or in f64.
/// `packs` says whether V may be more than 1.
template <class E, class F>
bool by_row_width(int64_t n, bool packs, const F& f) {
  const auto call = [&](auto v, auto k) {
    f(v, k);
    return true;
  };
  constexpr auto k1 = std::integral_constant<int, 1>();
  constexpr auto k8 = std::integral_constant<int, 8>();
  if constexpr (std::is_same_v<E, float>) {
    constexpr auto k4 = std::integral_constant<int, 4>();
    if (!packs) return n <= 256 ? call(k1, k8) : n <= 512 && call(k1, std::integral_constant<int, 16>());
    if (n > 1024) return false;
    if (n <= 256) return call(k4, std::integral_constant<int, 2>());
    if (n <= 512) return call(k4, k4);
    if (n <= 768) return call(k4, std::integral_constant<int, 6>());
    return call(k4, k8);
  } else {
    return n <= 256 && call(k1, k8);
  }
}

}  // namespace tessera::cuda
