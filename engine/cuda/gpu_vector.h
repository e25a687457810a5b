#pragma once

// N adjacent elements that move in one access, and the question whether memory allows it.
#include "engine/cuda/gpu_math.h"

namespace tessera::cuda {

inline constexpr int kAccessBytes = 16;

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};
/// Elements of T in one access of 16 bytes.
template <class T>
inline constexpr int kPackOf = kAccessBytes / static_cast<int>(sizeof(T));

/// N adjacent elements at a multiple of N · sizeof(T) bytes, in accesses of at most 16 bytes.
template <int N, class T>
__device__ inline void load_pack(const T* p, Compute<T> (&v)[N]) {
  constexpr int kEach = N < kPackOf<T> ? N : kPackOf<T>;
#pragma unroll
  for (int i = 0; i < N; i += kEach) {
    const Pack<T, kEach> pack = *reinterpret_cast<const Pack<T, kEach>*>(p + i);
#pragma unroll
    for (int j = 0; j < kEach; ++j) v[i + j] = widen(pack.v[j]);
  }
}
template <int N, class T>
__device__ inline void store_pack(T* p, const Compute<T> (&v)[N]) {
  constexpr int kEach = N < kPackOf<T> ? N : kPackOf<T>;
#pragma unroll
  for (int i = 0; i < N; i += kEach) {
    Pack<T, kEach> pack;
#pragma unroll
    for (int j = 0; j < kEach; ++j) pack.v[j] = narrow<T>(v[i + j]);
    *reinterpret_cast<Pack<T, kEach>*>(p + i) = pack;
  }
}
/// Whether N elements of T at p may be moved by the two functions above. On the host, from the pointer alone.
template <int N, class T>
bool packs(const T* p) {
  constexpr uintptr_t kBytes = sizeof(T) * N < kAccessBytes ? sizeof(T) * N : kAccessBytes;
  return reinterpret_cast<uintptr_t>(p) % kBytes == 0;
}

}  // namespace tessera::cuda
