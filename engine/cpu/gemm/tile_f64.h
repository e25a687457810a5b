#pragma once

// The f64 tile, used by checks. Every instruction set uses this code, by the compiler's vector extension. It rounds
// products and sums separately, so that f64 results are equal on all of them.
namespace tessera::cpu::TESSERA_ISA::gemm {

#if defined(TESSERA_ISA_AVX512)
inline constexpr int kDoubles = 8;
#elif defined(TESSERA_ISA_AVX2)
inline constexpr int kDoubles = 4;
#else
inline constexpr int kDoubles = 2;
#endif
using Doubles = double __attribute__((vector_size(kDoubles * 8)));

template <>
struct Tile<double> {
  static constexpr int kRows = 4;
  static constexpr int kColumns = 8;
};

template <int rows>
__attribute__((noinline)) void tile_kernel(int64_t k, const double* a, const double* b, double* c, int64_t stride,
                                           bool add) {
  constexpr int kVectors = Tile<double>::kColumns / kDoubles;
  Doubles sums[rows][kVectors] = {};
  for (int64_t i = 0; i < k; ++i, a += Tile<double>::kRows, b += Tile<double>::kColumns) {
    Doubles columns[kVectors];
    __builtin_memcpy(columns, b, sizeof(columns));
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sums[r][j] += a[r] * columns[j];
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      double* to = c + r * stride + kDoubles * j;
      Doubles old = {};
      if (add) __builtin_memcpy(&old, to, sizeof(old));
      const Doubles sum = add ? old + sums[r][j] : sums[r][j];
      __builtin_memcpy(to, &sum, sizeof(sum));
    }
  }
}

inline void micro_tile(int64_t k, const double* a, const double* b, int rows, int, double* c, int64_t stride, bool add,
                       const Prefetch&) {
  constexpr void (*kKernels[])(int64_t, const double*, const double*, double*, int64_t, bool) = {
      tile_kernel<1>, tile_kernel<2>, tile_kernel<3>, tile_kernel<4>};
  kKernels[rows - 1](k, a, b, c, stride, add);
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
