#pragma once

// Reductions over a warp and over a block, in one order.
#include "engine/cuda/gpu.h"

namespace tessera::cuda {

inline constexpr unsigned kFullMask = 0xffffffffu;

/// The sum over the lanes of a warp, in every lane. All 32 lanes call it.
template <class T>
__device__ inline T warp_sum(T v) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(kFullMask, v, offset);
  return v;
}
/// The largest over the lanes of a warp, in every lane. NaN is ignored.
template <class T>
__device__ inline T warp_max(T v) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kFullMask, v, offset);
    v = other > v ? other : v;
  }
  return v;
}
/// The sum over a block of 32 · kWarps threads, in every thread. `shared` has room for kWarps values; two calls with
/// the same memory need a barrier between them.
template <int kWarps, class T>
__device__ inline T block_sum(T v, T* shared) {
  v = warp_sum(v);
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = v;
  __syncthreads();
  T sum = shared[0];
  for (int w = 1; w < kWarps; ++w) sum += shared[w];
  return sum;
}

}  // namespace tessera::cuda
