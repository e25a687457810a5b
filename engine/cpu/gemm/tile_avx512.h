#pragma once

// The tile by AVX-512: 14 rows x 32 columns, of f32 and, where the processor is fast at it, of pairs of bf16.
//
// 14 x 2 accumulators, 2 registers of b and one broadcast element of a (renamed by the processor from row to row) take
// 31 of the 32 registers. A step of k issues 28 multiply-adds for 16 loads, so that two FMA units with two load ports
// are bound by the FMAs, whose latency of 4 cycles is hidden by 28 independent chains. A tile nearer a square would
// load less, but 32 columns are two whole lines of b and of the result.
namespace tessera::cpu::TESSERA_ISA::gemm {

template <>
struct Tile<float> {
  static constexpr int kRows = 14;
  static constexpr int kColumns = 32;
};

TESSERA_INLINE __m512 units_at(const float* p) { return _mm512_load_ps(p); }
TESSERA_INLINE __m512 unit_everywhere(const float* p) { return _mm512_set1_ps(*p); }
TESSERA_INLINE __m512 add_product(__m512 a, __m512 b, __m512 sum) { return _mm512_fmadd_ps(a, b, sum); }

#if defined(TESSERA_BF16_PAIRS)
template <>
struct Tile<Pair> : Tile<float> {};

TESSERA_INLINE __m512bh units_at(const Pair* p) { return (__m512bh)_mm512_load_si512(p); }
TESSERA_INLINE __m512bh unit_everywhere(const Pair* p) {
  int bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  return (__m512bh)_mm512_set1_epi32(bits);
}
TESSERA_INLINE __m512 add_product(__m512bh a, __m512bh b, __m512 sum) { return _mm512_dpbf16_ps(sum, a, b); }
#endif

template <int rows, int vectors>
struct TileSums {
  __m512 v[rows][vectors];

  TESSERA_INLINE void zero() {
#pragma GCC unroll 14
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) v[r][j] = _mm512_setzero_ps();
    }
  }
  /// One unit of k.
  template <class U>
  TESSERA_INLINE void step(const U* a, const U* b) {
    decltype(units_at(b)) columns[vectors];
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) columns[j] = units_at(b + 16 * j);
#pragma GCC unroll 14
    for (int r = 0; r < rows; ++r) {
      const auto element = unit_everywhere(a + r);
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) v[r][j] = add_product(element, columns[j], v[r][j]);
    }
  }
  TESSERA_INLINE void store(float* c, int64_t stride, bool add) const {
#pragma GCC unroll 14
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) {
        float* to = c + r * stride + 16 * j;
        _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), v[r][j]) : v[r][j]);
      }
    }
  }
};

template <int rows, int vectors, class U>
__attribute__((noinline)) void tile_kernel(int64_t k, const U* a, const U* b, float* c, int64_t stride, bool add,
                                           const Prefetch& prefetch) {
  constexpr int kA = Tile<float>::kRows;
  constexpr int kB = Tile<float>::kColumns;
  // Panels are read from the L2 cache, and a new one may still be on its way there.
  constexpr int kStepsAheadA = 32;
  constexpr int kStepsAheadB = 24;
  TileSums<rows, vectors> sums;
  sums.zero();
  int64_t i = 0;
  if (prefetch.first != nullptr) {
    // One line of each matrix per step, so that prefetches do not fill the queue of misses at once.
    const char* line = static_cast<const char*>(prefetch.first);
    const char* other = prefetch.other != nullptr ? static_cast<const char*>(prefetch.other) : line;
    const int64_t steps = min_of(k, 2 * rows);
    for (; i < steps; ++i, a += kA, b += kB) {
      const int half = i % 2 == 0 ? 0 : 64;
      __builtin_prefetch(line + half, 1, 3);
      __builtin_prefetch(other + half, 0, 3);
      if (half != 0) {
        line += prefetch.stride;
        other += prefetch.other_stride;
      }
      sums.step(a, b);
    }
  }
  const U* next = prefetch.next != nullptr ? static_cast<const U*>(prefetch.next) : b;
  for (; i + 4 <= k; i += 4, a += 4 * kA, b += 4 * kB, next += 16) {
    __builtin_prefetch(next, 0, 2);
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      __builtin_prefetch(a + kStepsAheadA * kA + 16 * u, 0, 3);
      __builtin_prefetch(b + (kStepsAheadB + u) * kB, 0, 3);
      __builtin_prefetch(b + (kStepsAheadB + u) * kB + 16, 0, 3);
      sums.step(a + u * kA, b + u * kB);
    }
  }
  for (; i < k; ++i, a += kA, b += kB) sums.step(a, b);
  sums.store(c, stride, add);
}

template <class U>
using TileKernel = void (*)(int64_t, const U*, const U*, float*, int64_t, bool, const Prefetch&);
template <class U, int vectors>
inline constexpr TileKernel<U> kTileKernels[] = {
    tile_kernel<1, vectors, U>,  tile_kernel<2, vectors, U>,  tile_kernel<3, vectors, U>,  tile_kernel<4, vectors, U>,
    tile_kernel<5, vectors, U>,  tile_kernel<6, vectors, U>,  tile_kernel<7, vectors, U>,  tile_kernel<8, vectors, U>,
    tile_kernel<9, vectors, U>,  tile_kernel<10, vectors, U>, tile_kernel<11, vectors, U>, tile_kernel<12, vectors, U>,
    tile_kernel<13, vectors, U>, tile_kernel<14, vectors, U>};

template <class U>
void run_tile(int64_t k, const U* a, const U* b, int rows, int columns, float* c, int64_t stride, bool add,
              const Prefetch& prefetch) {
  (columns > 16 ? kTileKernels<U, 2> : kTileKernels<U, 1>)[rows - 1](k, a, b, c, stride, add, prefetch);
}
inline void micro_tile(int64_t k, const float* a, const float* b, int rows, int columns, float* c, int64_t stride,
                       bool add, const Prefetch& prefetch) {
  run_tile(k, a, b, rows, columns, c, stride, add, prefetch);
}
#if defined(TESSERA_BF16_PAIRS)
inline void micro_tile(int64_t k, const Pair* a, const Pair* b, int rows, int columns, float* c, int64_t stride,
                       bool add, const Prefetch& prefetch) {
  run_tile(k, a, b, rows, columns, c, stride, add, prefetch);
}
#endif

}  // namespace tessera::cpu::TESSERA_ISA::gemm
