#include "engine/ops/reduce.h"

#include <algorithm>
#include <type_traits>

#include "engine/cuda/gpu_rows.h"
#include "engine/cuda/gpu_vector.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kPartElements = 4096;  // of a partial sum
constexpr int kFinishThreads = 1024;

/// Elements at [at, at + N) of count, zeros past the end; in wide accesses where `packed` says that all may be.
template <int N, class T>
__device__ void load_some(const T* x, int64_t at, int64_t count, bool packed, Compute<T> (&v)[N]) {
  if (packed && at + N <= count) {
    load_pack<N>(x + at, v);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = at + i < count ? widen(x[at + i]) : Compute<T>(0);
  }
}

/// A thread block sums 4,096 elements of x, or of x·w: a thread adds its elements in ascending order, then a tree adds
/// the threads. Which element goes where does not depend on the alignment. Reads x and w once.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_parts_kernel(const T* __restrict__ x, const T* __restrict__ w, int64_t count, bool packed,
                     Compute<T>* __restrict__ partials) {
  constexpr int kEach = kPackOf<T>;
  constexpr int kSteps = static_cast<int>(kPartElements) / (kThreads * kEach);
  GPU_SHARED(Compute<T>, shared, [kThreads / kWarp]);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kPartElements + threadIdx.x * kEach;
  Compute<T> sum(0);
#pragma unroll 4
  for (int s = 0; s < kSteps; ++s) {
    const int64_t at = first + s * (kThreads * kEach);
    Compute<T> v[kEach];
    load_some<kEach>(x, at, count, packed, v);
    if (w == nullptr) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) sum += v[i];
    } else {
      Compute<T> factor[kEach];
      load_some<kEach>(w, at, count, packed, factor);
#pragma unroll
      for (int i = 0; i < kEach; ++i) sum += v[i] * factor[i];
    }
  }
  sum = block_sum<kThreads / kWarp>(sum, shared);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

/// One thread block: y (+)= alpha · Σ partials. A thread adds every 1,024th, then a tree adds the threads.
template <class E>
__global__ void __launch_bounds__(kFinishThreads)
    finish_sum_kernel(const E* __restrict__ partials, int64_t count, E alpha, E* y, bool accumulate) {
  GPU_SHARED(E, shared, [kFinishThreads / kWarp]);
  E sum(0);
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < count; i += kFinishThreads) sum += partials[i];
  sum = block_sum<kFinishThreads / kWarp>(sum, shared);
  if (threadIdx.x == 0) *y = accumulate ? *y + alpha * sum : alpha * sum;
}

void sum(Context& context, const SumArgs& a) {
  by_type(a.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using E = Compute<T>;
    const int64_t count = a.x.numel();
    const int64_t parts = blocks_of(count, kPartElements);
    const Scratch scratch(context, static_cast<size_t>(parts) * sizeof(E));
    const T* x = a.x.data<const T>();
    const T* w = a.w.data<const T>();
    if (parts > 0) {
      GPU_LAUNCH(sum_parts_kernel<T>, dim3(extent(parts)), dim3(kThreads), 0, stream_of(context), x, w, count,
                 packs<kPackOf<T>>(x) && packs<kPackOf<T>>(w), scratch.as<E>());
    }
    GPU_LAUNCH(finish_sum_kernel<E>, dim3(1), dim3(kFinishThreads), 0, stream_of(context), scratch.as<E>(), parts,
               a.alpha, a.y.data<E>(), a.mode == GradMode::accumulate);
  });
}

constexpr int kSegmentRows = 8;  // rows of threads

/// A thread block owns 32 · V columns of one segment: a warp reads a row, a thread V adjacent columns. The eight warps
/// take the rows in turn, and their sums are added in ascending order of the warps. Reads x once.
template <int V, class T>
__global__ void __launch_bounds__(kWarp* kSegmentRows)
    segment_mean_kernel(const T* __restrict__ x, const int64_t* __restrict__ offsets, int64_t skip, int64_t columns,
                        int64_t strips, T* __restrict__ y) {
  using E = Compute<T>;
  GPU_SHARED(E, shared, [kSegmentRows][V][kWarp]);
  const int64_t segment = blockIdx.x / strips;
  const int lane = static_cast<int>(threadIdx.x);
  const int warp = static_cast<int>(threadIdx.y);
  const int64_t column = (blockIdx.x % strips * kWarp + lane) * V;
  const int64_t begin = offsets[segment] + skip;
  const int64_t end = offsets[segment + 1];
  E sum[V] = {};
  if (column < columns) {
#pragma unroll 4
    for (int64_t row = begin + warp; row < end; row += kSegmentRows) {
      E v[V];
      load_pack<V>(x + row * columns + column, v);
#pragma unroll
      for (int i = 0; i < V; ++i) sum[i] += v[i];
    }
  }
#pragma unroll
  for (int i = 0; i < V; ++i) shared[warp][i][lane] = sum[i];
  __syncthreads();
  if (warp != 0 || column >= columns) return;
  const E factor = E(1.0 / static_cast<double>(end - begin > 1 ? end - begin : 1));
#pragma unroll
  for (int i = 0; i < V; ++i) {
    E total = shared[0][i][lane];
    for (int w = 1; w < kSegmentRows; ++w) total += shared[w][i][lane];
    sum[i] = total * factor;
  }
  store_pack<V>(y + segment * columns + column, sum);
}

/// A thread block owns 32 · V columns of one segment; its eight warps, and the blocks along y, take the rows in turn. A
/// thread keeps its part of dy. Writes dx once, and reads it where it adds.
template <int V, class T>
__global__ void __launch_bounds__(kWarp* kSegmentRows)
    segment_mean_grad_kernel(const T* __restrict__ dy, const int64_t* __restrict__ offsets, int64_t skip,
                             int64_t columns, int64_t strips, T* __restrict__ dx, bool accumulate) {
  using E = Compute<T>;
  const int64_t segment = blockIdx.x / strips;
  const int64_t column = (blockIdx.x % strips * kWarp + threadIdx.x) * V;
  if (column >= columns) return;
  const int64_t begin = offsets[segment];
  const int64_t end = offsets[segment + 1];
  const int64_t first = begin + skip < end ? begin + skip : end;
  const E factor = E(1.0 / static_cast<double>(end - first > 1 ? end - first : 1));
  E slope[V];
  load_pack<V>(dy + segment * columns + column, slope);
#pragma unroll
  for (int i = 0; i < V; ++i) slope[i] *= factor;
  const int64_t step = static_cast<int64_t>(gridDim.y) * kSegmentRows;
#pragma unroll 4
  for (int64_t row = begin + blockIdx.y * kSegmentRows + threadIdx.y; row < end; row += step) {
    T* to = dx + row * columns + column;
    E v[V] = {};
    if (accumulate) load_pack<V>(to, v);
    if (row >= first) {
#pragma unroll
      for (int i = 0; i < V; ++i) v[i] += slope[i];
    }
    store_pack<V>(to, v);
  }
}

/// f(the number of elements of an access) for rows of `columns` elements: that of 16 bytes where all addresses allow
/// it.
template <class T, class F>
void by_access(int64_t columns, const T* x, const T* y, F&& f) {
  constexpr int kWide = kPackOf<T>;
  if (columns % kWide == 0 && packs<kWide>(x) && packs<kWide>(y)) {
    f(std::integral_constant<int, kWide>{});
  } else {
    f(std::integral_constant<int, 1>{});
  }
}

void segment_mean(Context& context, const SegmentMeanArgs& a) {
  if (a.y.numel() == 0) return;
  by_type(a.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t columns = a.x.size(1);
    by_access(columns, a.x.data<const T>(), a.y.data<const T>(), [&](auto each) {
      constexpr int kEach = decltype(each)::value;
      const int64_t strips = blocks_of(columns, kWarp * kEach);
      GPU_LAUNCH((segment_mean_kernel<kEach, T>), dim3(extent(a.segments.count * strips)), dim3(kWarp, kSegmentRows), 0,
                 stream_of(context), a.x.data<const T>(), a.segments.on_device, a.skip, columns, strips, a.y.data<T>());
    });
  });
}

void segment_mean_grad(Context& context, const SegmentMeanGradArgs& a) {
  if (a.dx.numel() == 0) return;
  by_type(a.dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t columns = a.dx.size(1);
    by_access(columns, a.dy.data<const T>(), a.dx.data<const T>(), [&](auto each) {
      constexpr int kEach = decltype(each)::value;
      constexpr int64_t kRowsOfBlock = 8 * kSegmentRows;
      constexpr int64_t kMostBlocks = 65535;
      const int64_t strips = blocks_of(columns, kWarp * kEach);
      const int64_t down = std::min(kMostBlocks, blocks_of(a.segments.max_len, kRowsOfBlock));
      GPU_LAUNCH((segment_mean_grad_kernel<kEach, T>), dim3(extent(a.segments.count * strips), extent(down)),
                 dim3(kWarp, kSegmentRows), 0, stream_of(context), a.dy.data<const T>(), a.segments.on_device, a.skip,
                 columns, strips, a.dx.data<T>(), a.mode == GradMode::accumulate);
    });
  });
}

}  // namespace

const ReduceKernels kReduceKernels{.sum = sum, .segment_mean = segment_mean, .segment_mean_grad = segment_mean_grad};

}  // namespace tessera::cuda
