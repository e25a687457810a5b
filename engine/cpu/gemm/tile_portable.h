#pragma once

// The f32 tile by the compiler's vector extension: 4 rows x 8 columns.
//
// 4 x 2 accumulators of four floats, 2 registers of b, one element of a and one product fit the 16 registers of SSE2;
// where there are 32 (NEON) the compiler has room to overlap steps. Multiplication and addition round separately.
namespace tessera::cpu::TESSERA_ISA::gemm {

template <>
struct Tile<float> {
  static constexpr int kRows = 4;
  static constexpr int kColumns = 8;
};

template <int rows, int vectors>
__attribute__((noinline)) void tile_kernel(int64_t k, const float* a, const float* b, float* c, int64_t stride,
                                           bool add) {
  Float4 sums[rows][vectors] = {};
  for (int64_t i = 0; i < k; ++i, a += Tile<float>::kRows, b += Tile<float>::kColumns) {
    Float4 columns[vectors];
    __builtin_memcpy(columns, b, sizeof(columns));
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const Float4 element = {a[r], a[r], a[r], a[r]};
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) sums[r][j] += element * columns[j];
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) {
      float* to = c + r * stride + 4 * j;
      Float4 old = {};
      if (add) __builtin_memcpy(&old, to, sizeof(old));
      const Float4 sum = add ? old + sums[r][j] : sums[r][j];
      __builtin_memcpy(to, &sum, sizeof(sum));
    }
  }
}

using TileKernel = void (*)(int64_t, const float*, const float*, float*, int64_t, bool);
template <int vectors>
inline constexpr TileKernel kTileKernels[] = {tile_kernel<1, vectors>, tile_kernel<2, vectors>, tile_kernel<3, vectors>,
                                              tile_kernel<4, vectors>};

inline void micro_tile(int64_t k, const float* a, const float* b, int rows, int columns, float* c, int64_t stride,
                       bool add, const Prefetch&) {
  (columns > 4 ? kTileKernels<2> : kTileKernels<1>)[rows - 1](k, a, b, c, stride, add);
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
