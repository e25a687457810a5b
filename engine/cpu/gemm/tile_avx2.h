#pragma once

// The f32 tile by AVX2 and FMA: 6 rows x 16 columns.
//
// 6 x 2 accumulators, 2 registers of b and 2 for broadcast elements of a fill the 16 registers. A step of k issues 12
// multiply-adds for 8 loads; the 12 chains cover an FMA latency of up to 6 cycles on two units.
namespace tessera::cpu::TESSERA_ISA::gemm {

template <>
struct Tile<float> {
  static constexpr int kRows = 6;
  static constexpr int kColumns = 16;
};

template <int rows, int vectors>
struct TileSums {
  __m256 v[rows][vectors];

  TESSERA_INLINE void zero() {
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) v[r][j] = _mm256_setzero_ps();
    }
  }
  /// One step of k.
  TESSERA_INLINE void step(const float* a, const float* b) {
    __m256 columns[vectors];
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) columns[j] = _mm256_load_ps(b + 8 * j);
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
      const __m256 element = _mm256_broadcast_ss(a + r);
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) v[r][j] = _mm256_fmadd_ps(element, columns[j], v[r][j]);
    }
  }
  TESSERA_INLINE void store(float* c, int64_t stride, bool add) const {
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) {
        float* to = c + r * stride + 8 * j;
        _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), v[r][j]) : v[r][j]);
      }
    }
  }
};

template <int rows, int vectors>
__attribute__((noinline)) void tile_kernel(int64_t k, const float* a, const float* b, float* c, int64_t stride,
                                           bool add, const Prefetch& prefetch) {
  constexpr int kA = Tile<float>::kRows;
  constexpr int kB = Tile<float>::kColumns;
  constexpr int kStepsAheadA = 48;
  constexpr int kStepsAheadB = 16;
  if (prefetch.first != nullptr) {
    const char* line = static_cast<const char*>(prefetch.first);
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) __builtin_prefetch(line + r * prefetch.stride, 1, 3);
    const char* other = prefetch.other != nullptr ? static_cast<const char*>(prefetch.other) : line;
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) __builtin_prefetch(other + r * prefetch.other_stride, 0, 3);
  }
  TileSums<rows, vectors> sums;
  sums.zero();
  int64_t i = 0;
  const float* next = prefetch.next != nullptr ? static_cast<const float*>(prefetch.next) : b;
  for (; i + 4 <= k; i += 4, a += 4 * kA, b += 4 * kB, next += 16) {
    __builtin_prefetch(next, 0, 2);
    __builtin_prefetch(a + kStepsAheadA * kA, 0, 3);
    __builtin_prefetch(a + kStepsAheadA * kA + 16, 0, 3);
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      __builtin_prefetch(b + (kStepsAheadB + u) * kB, 0, 3);
      sums.step(a + u * kA, b + u * kB);
    }
  }
  for (; i < k; ++i, a += kA, b += kB) sums.step(a, b);
  sums.store(c, stride, add);
}

using TileKernel = void (*)(int64_t, const float*, const float*, float*, int64_t, bool, const Prefetch&);
template <int vectors>
inline constexpr TileKernel kTileKernels[] = {tile_kernel<1, vectors>, tile_kernel<2, vectors>,
                                              tile_kernel<3, vectors>, tile_kernel<4, vectors>,
                                              tile_kernel<5, vectors>, tile_kernel<6, vectors>};

inline void micro_tile(int64_t k, const float* a, const float* b, int rows, int columns, float* c, int64_t stride,
                       bool add, const Prefetch& prefetch) {
  (columns > 8 ? kTileKernels<2> : kTileKernels<1>)[rows - 1](k, a, b, c, stride, add, prefetch);
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
