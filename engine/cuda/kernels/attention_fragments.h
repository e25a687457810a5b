#pragma once

// The parts of attention on tensor cores: a warp owns 16 rows as fragments of mma.sync and walks over the rows that it
// sums over, which pass through shared memory.
#include <initializer_list>
#include <type_traits>

#include "engine/cuda/gpu_mma.h"
#include "engine/cuda/gpu_rows.h"
#include "engine/cuda/kernels/attention.h"

namespace tessera::cuda::attention {

inline constexpr int kRows = 16;  // of a warp
inline constexpr int kMaxWarps = 8;
inline constexpr int kMaxThreads = kMaxWarps * kWarp;
inline constexpr float kLog2e = 1.44269504f;

/// Elements from one row to the next in shared memory. Eight rows lie in different banks.
template <int kWidth>
inline constexpr int kPitch = kWidth + 8;
/// Two blocks on a multiprocessor hide each other's loads; wider heads need more registers than that leaves.
template <int kWidth>
inline constexpr int kBlocks = kWidth <= 64 ? 2 : 1;

__device__ inline float exp2_of(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0,%1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}
/// Over the four lanes that hold one row of a fragment.
__device__ inline float quad_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(kFullMask, v, 1));
  return fmaxf(v, __shfl_xor_sync(kFullMask, v, 2));
}
__device__ inline float quad_sum(float v) {
  v += __shfl_xor_sync(kFullMask, v, 1);
  return v + __shfl_xor_sync(kFullMask, v, 2);
}
__device__ inline int lane_of() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int warp_of() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ inline int rows_of_block() { return static_cast<int>(blockDim.x) / kWarp * kRows; }

/// Rows [first, first + count) of a head in two operands, one `part` elements behind the other in shared memory; zeros
/// from row `last` and column `width` on.
template <int kWidth>
__device__ inline void load_rows(bfloat16* to, int part, const bfloat16* a, int64_t stride_a, const bfloat16* b,
                                 int64_t stride_b, int first, int count, int last, int width) {
  constexpr int kChunks = kWidth / 8;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < count * kChunks; i += static_cast<int>(blockDim.x)) {
    const int r = i / kChunks;
    const int c = i % kChunks * 8;
    const bool valid = first + r < last && c < width;
    const int64_t row = valid ? first + r : 0;
    bfloat16* const at = to + r * kPitch<kWidth> + c;
    cp_async16_or_zero(at, a + row * stride_a + (valid ? c : 0), valid);
    if (part > 0) cp_async16_or_zero(at + part, b + row * stride_b + (valid ? c : 0), valid);
  }
}

/// The left fragments of a warp's 16 rows.
template <int kWidth>
__device__ inline void load_left(uint32_t (&f)[kWidth / 16][4], const bfloat16* tile) {
  const int lane = lane_of();
#pragma unroll
  for (int k = 0; k < kWidth / 16; ++k) {
    ldmatrix_x4(f[k], tile + (lane & 15) * kPitch<kWidth> + k * 16 + (lane >> 4) * 8);
  }
}

/// acc[n] += left · tileᵀ for N · 8 rows of the tile, summed over the width. Rows from `count` on may be left out
/// unless all are whole.
template <int kWidth, bool kWhole, int N>
__device__ inline void times_rows(float (&acc)[N][4], const uint32_t (&left)[kWidth / 16][4], const bfloat16* tile,
                                  int count) {
  const int lane = lane_of();
  const bfloat16* const from = tile + ((lane & 7) + (lane >> 4) * 8) * kPitch<kWidth> + (lane >> 3 & 1) * 8;
#pragma unroll
  for (int n = 0; n < N; n += 2) {
    if (!kWhole && n * 8 >= count) break;
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
      uint32_t b[4];
      ldmatrix_x4(b, from + n * 8 * kPitch<kWidth> + k * 16);
      mma_16816(acc[n], left[k], {b[0], b[1]});
      mma_16816(acc[n + 1], left[k], {b[2], b[3]});
    }
  }
}
/// The same with left rows in shared memory, for kernels without registers to spare.
template <int kWidth, bool kWhole, int N>
__device__ inline void times_rows(float (&acc)[N][4], const bfloat16* left, const bfloat16* tile, int count) {
  const int lane = lane_of();
  const bfloat16* const from = tile + ((lane & 7) + (lane >> 4) * 8) * kPitch<kWidth> + (lane >> 3 & 1) * 8;
#pragma unroll
  for (int k = 0; k < kWidth / 16; ++k) {
    uint32_t a[4];
    ldmatrix_x4(a, left + (lane & 15) * kPitch<kWidth> + k * 16 + (lane >> 4) * 8);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      if (!kWhole && n * 8 >= count) break;
      uint32_t b[4];
      ldmatrix_x4(b, from + n * 8 * kPitch<kWidth> + k * 16);
      mma_16816(acc[n], a, {b[0], b[1]});
      mma_16816(acc[n + 1], a, {b[2], b[3]});
    }
  }
}
/// out [16, width] += weights [16, N · 8] · tile [N · 8, width]. The weights are rounded once.
template <int kWidth, bool kWhole, int N>
__device__ inline void add_weighted(float (&out)[kWidth / 8][4], const float (&w)[N][4], const bfloat16* tile,
                                    int count) {
  const int lane = lane_of();
  const bfloat16* const from = tile + (lane & 15) * kPitch<kWidth> + (lane >> 4) * 8;
#pragma unroll
  for (int k = 0; k < N / 2; ++k) {
    if (!kWhole && k * 16 >= count) break;
    const uint32_t a[4] = {bf16_pair(w[2 * k][0], w[2 * k][1]), bf16_pair(w[2 * k][2], w[2 * k][3]),
                           bf16_pair(w[2 * k + 1][0], w[2 * k + 1][1]), bf16_pair(w[2 * k + 1][2], w[2 * k + 1][3])};
#pragma unroll
    for (int n = 0; n < kWidth / 8; n += 2) {
      uint32_t b[4];
      ldmatrix_x4_trans(b, from + k * 16 * kPitch<kWidth> + n * 8);
      mma_16816(out[n], a, {b[0], b[1]});
      mma_16816(out[n + 1], a, {b[2], b[3]});
    }
  }
}

/// Rounds a warp's 16 rows and stores the first `rows` of them, by way of its part of shared memory, which makes
/// accesses of 16 bytes.
template <int kWidth>
__device__ inline void store_rows(const float (&acc)[kWidth / 8][4], float factor0, float factor1, bfloat16* tile,
                                  bfloat16* to, int64_t stride, int rows, int width) {
  const int lane = lane_of();
  bfloat16* const own = tile + lane / 4 * kPitch<kWidth> + lane % 4 * 2;
#pragma unroll
  for (int n = 0; n < kWidth / 8; ++n) {
    *reinterpret_cast<uint32_t*>(own + n * 8) = bf16_pair(acc[n][0] * factor0, acc[n][1] * factor0);
    *reinterpret_cast<uint32_t*>(own + 8 * kPitch<kWidth> + n * 8) =
        bf16_pair(acc[n][2] * factor1, acc[n][3] * factor1);
  }
  __syncwarp();
  constexpr int kChunks = kWidth / 8;
  for (int i = lane; i < kRows * kChunks; i += kWarp) {
    const int r = i / kChunks;
    const int c = i % kChunks * 8;
    if (r < rows && c < width) {
      *reinterpret_cast<uint4*>(to + r * stride + c) = *reinterpret_cast<const uint4*>(tile + r * kPitch<kWidth> + c);
    }
  }
}

/// The rows of a warp that a segment has, counted from the warp's first; may be negative.
__device__ inline int rows_left(int rows, int first) { return min(rows - first, kRows); }
/// How many keys some query of a warp sees, and how many all of them see.
struct Visible {
  int some, all;
};
__device__ inline Visible keys_of(const Place& p, bool causal, int first) {
  if (first >= p.nq) return {0, 0};
  return causal ? Visible{min(p.nk, first + kRows), min(p.nk, first + 1)} : Visible{p.nk, p.nk};
}

/// The longest segment's rows, split evenly over blocks of two to eight warps.
struct Split {
  int64_t tiles;
  int warps;
  explicit Split(int64_t rows) {
    const int64_t blocks = blocks_of(rows, kRows * kMaxWarps);
    warps = rows <= kRows ? 2 : static_cast<int>(blocks_of(rows, kRows * blocks));
    tiles = blocks_of(rows, int64_t{kRows} * warps);
  }
  [[nodiscard]] dim3 threads() const { return dim3(static_cast<unsigned>(warps * kWarp)); }
  [[nodiscard]] int rows() const { return warps * kRows; }
};
template <int kWidth>
constexpr size_t bytes_of(int rows) {
  return static_cast<size_t>(rows) * kPitch<kWidth> * sizeof(bfloat16);
}

/// Calls f with the head width rounded up to one that has kernels.
template <class F>
void by_width(int64_t width, F&& f) {
  if (width <= 32) return f(std::integral_constant<int, 32>());
  if (width <= 64) return f(std::integral_constant<int, 64>());
  return f(std::integral_constant<int, 80>());
}
inline constexpr int64_t kWidest = 80;

/// Rows must start at multiples of 16 bytes. The largest score is found before scaling, so the scale is positive.
template <class Args>
bool suits(const Args& a, std::initializer_list<const View*> views) {
  const int64_t width = a.q.size(2);
  bool result = a.q.dtype == DType::bf16 && !a.bias && width % 8 == 0 && width <= kWidest && a.scale > 0;
  for (const View* v : views) result = result && aligned(*v, 16);
  return result;
}

}  // namespace tessera::cuda::attention
