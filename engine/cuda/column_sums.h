#pragma once

// Sums over the rows of every column in two passes, in an order that depends on the numbers of rows and columns alone.
//
//   struct Squares {                          // the K terms of V adjacent elements
//     const float* x;
//     int64_t columns;
//     template <int V>
//     __device__ void operator()(int64_t row, int64_t column, float (&t)[1][V]) const { … }
//   };
//   const int64_t blocks = column_blocks(rows);
//   Scratch scratch(context, blocks * K * columns * sizeof(float));
//   column_partials<K, V>(context, rows, columns, vectors, scratch.as<float>(), Squares{…});
//   finish_column_sums(context, scratch.as<float>() + k * columns, blocks, K * columns, columns, out, mode);
//
// A kernel of another kind may write the partials itself, in any number of blocks.
#include "engine/cuda/gpu_math.h"
#include "engine/runtime/context.h"
#include "engine/tensor/view.h"

namespace tessera::cuda {

inline constexpr int kSumLanes = 8;  // rows that a thread block of the first pass reads at a time

/// Rows of one partial sum: few where there are few rows, so that the device has enough blocks.
constexpr int64_t column_block_rows(int64_t rows) { return rows < 16384 ? 64 : 256; }
/// The number of partial sums over `rows` rows; 0 without rows.
constexpr int64_t column_blocks(int64_t rows) { return blocks_of(rows, column_block_rows(rows)); }

/// A thread block owns 32 · V columns of one block of rows: a warp reads a row, a thread V adjacent columns. The eight
/// warps take the rows in turn and their sums are added in ascending order of the warps.
template <int K, int V, class E, class Terms>
__global__ void __launch_bounds__(kWarp* kSumLanes)
    column_partials_kernel(Terms terms, int64_t rows, int64_t columns, int64_t block_rows, int64_t strips,
                           E* __restrict__ partials) {
  GPU_SHARED(E, shared, [kSumLanes][kWarp * V]);
  const int64_t block = static_cast<int64_t>(blockIdx.x) / strips;
  const int lane = static_cast<int>(threadIdx.x);
  const int warp = static_cast<int>(threadIdx.y);
  const int64_t first = static_cast<int64_t>(blockIdx.x) % strips * (kWarp * V);
  const int64_t column = first + lane * V;
  const int64_t begin = block * block_rows;
  const int64_t end = begin + block_rows < rows ? begin + block_rows : rows;
  E sums[K][V];
#pragma unroll
  for (int k = 0; k < K; ++k) {
#pragma unroll
    for (int v = 0; v < V; ++v) sums[k][v] = E(0);
  }
  if (column < columns) {
#pragma unroll 4
    for (int64_t row = begin + warp; row < end; row += kSumLanes) {
      E t[K][V];
      terms(row, column, t);
#pragma unroll
      for (int k = 0; k < K; ++k) {
#pragma unroll
        for (int v = 0; v < V; ++v) sums[k][v] += t[k][v];
      }
    }
  }
#pragma unroll
  for (int k = 0; k < K; ++k) {
#pragma unroll
    for (int v = 0; v < V; ++v) shared[warp][v * kWarp + lane] = sums[k][v];  // no two lanes meet in a bank
    __syncthreads();
    for (int i = warp * kWarp + lane; i < kWarp * V; i += kWarp * kSumLanes) {
      E sum = shared[0][i % V * kWarp + i / V];
      for (int w = 1; w < kSumLanes; ++w) sum += shared[w][i % V * kWarp + i / V];
      if (first + i < columns) partials[(block * K + k) * columns + first + i] = sum;
    }
    __syncthreads();
  }
}

/// The first pass: partials [column_blocks(rows)][K][columns] from `terms`, a function object of the device that is
/// called for V adjacent columns where `vectors` is set (columns is then a multiple of V) and else for one.
template <int K, int V, class E, class Terms>
void column_partials(Context& context, int64_t rows, int64_t columns, bool vectors, E* partials, const Terms& terms) {
  if (rows == 0 || columns == 0) return;
  const int64_t strips = blocks_of(columns, kWarp * (vectors ? V : 1));
  const dim3 grid(extent(column_blocks(rows) * strips));
  const dim3 block(kWarp, kSumLanes);
  if (vectors) {
    GPU_LAUNCH((column_partials_kernel<K, V, E, Terms>), grid, block, 0, stream_of(context), terms, rows, columns,
               column_block_rows(rows), strips, partials);
  } else {
    GPU_LAUNCH((column_partials_kernel<K, 1, E, Terms>), grid, block, 0, stream_of(context), terms, rows, columns,
               column_block_rows(rows), strips, partials);
  }
}

inline constexpr int kFinishLanes = 16;

/// A thread block owns 32 columns. Warp w adds blocks w, w + 16, … in ascending order, with four sums that take turns;
/// then the sums of the warps are added in ascending order.
template <class E, class Y>
__global__ void __launch_bounds__(kWarp* kFinishLanes)
    finish_column_sums_kernel(const E* __restrict__ partials, int64_t blocks, int64_t stride, int64_t columns,
                              Y* __restrict__ out, bool accumulate) {
  GPU_SHARED(E, shared, [kFinishLanes][kWarp]);
  const int lane = static_cast<int>(threadIdx.x);
  const int warp = static_cast<int>(threadIdx.y);
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  E sum[4] = {E(0), E(0), E(0), E(0)};
  if (column < columns) {
    int64_t b = warp;
    for (; b + 3 * kFinishLanes < blocks; b += 4 * kFinishLanes) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] += partials[(b + i * kFinishLanes) * stride + column];
    }
    for (; b < blocks; b += kFinishLanes) sum[0] += partials[b * stride + column];
  }
  shared[warp][lane] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  __syncthreads();
  if (warp != 0 || column >= columns) return;
  E total = shared[0][lane];
  for (int w = 1; w < kFinishLanes; ++w) total += shared[w][lane];
  put(out + column, static_cast<Compute<Y>>(total), accumulate);
}

/// The second pass: out[column] (+)= the sum over `blocks` rows of partials, `stride` elements apart; zero without
/// blocks.
template <class E, class Y>
void finish_column_sums(Context& context, const E* partials, int64_t blocks, int64_t stride, int64_t columns, Y* out,
                        GradMode mode) {
  if (columns == 0) return;
  GPU_LAUNCH((finish_column_sums_kernel<E, Y>), dim3(extent(blocks_of(columns, kWarp))), dim3(kWarp, kFinishLanes), 0,
             stream_of(context), partials, blocks, stride, columns, out, mode == GradMode::accumulate);
}
/// The same into a contiguous f32, bf16 or f64 view; nothing where it is absent.
template <class E>
void finish_column_sums(Context& context, const E* partials, int64_t blocks, int64_t stride, int64_t columns,
                        const View& out, GradMode mode) {
  if (!out) return;
  by_type(out.dtype, [&](auto zero) {
    finish_column_sums(context, partials, blocks, stride, columns, out.data<decltype(zero)>(), mode);
  });
}

}  // namespace tessera::cuda
