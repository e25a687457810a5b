#include "engine/cuda/column_sums.h"
#include "engine/cuda/kernels/norm_kernels.h"
#include "engine/cuda/row_lanes.h"

namespace tessera::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kGradWarps = 4;
constexpr int kGradThreads = kGradWarps * kWarp;

/// A warp owns a row and keeps it in registers: it reads x once and writes y once, and both passes of the variance run
/// over the registers.
template <class E, class Y, int V, int K>
__global__ void __launch_bounds__(kThreads)
    layer_norm_kernel(const E* __restrict__ x, const E* __restrict__ gamma, const E* __restrict__ beta, E eps,
                      Y* __restrict__ y, E* __restrict__ mean, E* __restrict__ rstd, int64_t rows, int n) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (row >= rows) return;
  E v[K][V];
  each_group<V, K>(lane, n, [&](int k, int i) { load_pack<V>(x + row * n + i, v[k]); });
  E sum = 0;
  each_group<V, K>(lane, n, [&](int k, int) {
#pragma unroll
    for (int e = 0; e < V; ++e) sum += v[k][e];
  });
  const E m = warp_sum(sum) / static_cast<E>(n);  // divided, so that a constant row has variance 0
  E squares = 0;
  each_group<V, K>(lane, n, [&](int k, int) {
#pragma unroll
    for (int e = 0; e < V; ++e) {
      v[k][e] -= m;
      squares = multiply_add(v[k][e], v[k][e], squares);
    }
  });
  const E scale = E(1) / root(warp_sum(squares) / static_cast<E>(n) + eps);
  if (lane == 0) {
    if (mean != nullptr) mean[row] = m;
    if (rstd != nullptr) rstd[row] = scale;
  }
  each_group<V, K>(lane, n, [&](int k, int i) {
    E g[V];
    E b[V];
    load_pack<V>(gamma + i, g);
    load_pack<V>(beta + i, b);
#pragma unroll
    for (int e = 0; e < V; ++e) b[e] = multiply_add(v[k][e] * scale, g[e], b[e]);
    store_pack<V>(y + row * n + i, b);
  });
}

/// A block owns a row and reads it three times, the later times from the caches.
template <class E, class Y>
__global__ void __launch_bounds__(kThreads)
    layer_norm_wide_kernel(const E* __restrict__ x, const E* __restrict__ gamma, const E* __restrict__ beta, E eps,
                           Y* __restrict__ y, E* __restrict__ mean, E* __restrict__ rstd, int64_t n) {
  GPU_SHARED(E, shared, [2][kWarps]);
  const int64_t row = blockIdx.x;
  x += row * n;
  E sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += x[i];
  const E m = block_sum<kWarps>(sum, shared[0]) / static_cast<E>(n);
  E squares = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) squares = multiply_add(x[i] - m, x[i] - m, squares);
  const E scale = E(1) / root(block_sum<kWarps>(squares, shared[1]) / static_cast<E>(n) + eps);
  if (threadIdx.x == 0) {
    if (mean != nullptr) mean[row] = m;
    if (rstd != nullptr) rstd[row] = scale;
  }
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    y[row * n + i] = narrow<Y>(multiply_add((x[i] - m) * scale, gamma[i], beta[i]));
  }
}

template <class Y>
void layer_norm_as(Context& context, const LayerNormArgs& a) {
  using E = Compute<Y>;
  const int64_t rows = a.x.size(0);
  const int64_t n = a.x.size(1);
  const auto* x = a.x.data<const E>();
  const auto* gamma = a.gamma.data<const E>();
  const auto* beta = a.beta.data<const E>();
  auto* y = a.y.data<Y>();
  const bool vectors = n % 4 == 0 && packs<4>(x) && packs<4>(gamma) && packs<4>(beta) && packs<4>(y);
  const cudaStream_t stream = stream_of(context);
  const bool narrow_rows = by_row_width<E>(n, vectors, [&](auto v, auto k) {
    GPU_LAUNCH((layer_norm_kernel<E, Y, v(), k()>), dim3(extent(blocks_of(rows, kWarps))), dim3(kThreads), 0, stream, x,
               gamma, beta, static_cast<E>(a.eps), y, a.mean.data<E>(), a.rstd.data<E>(), rows, static_cast<int>(n));
  });
  if (narrow_rows) return;
  GPU_LAUNCH((layer_norm_wide_kernel<E, Y>), dim3(extent(rows)), dim3(kThreads), 0, stream, x, gamma, beta,
             static_cast<E>(a.eps), y, a.mean.data<E>(), a.rstd.data<E>(), n);
}

/// The results of the backward and what it reads. dx may be null, and so may partials [blocks][dgamma, dbeta][n].
template <class E, class T>
struct GradData {
  const E *x, *gamma, *mean, *rstd;
  const T* dy;
  E* dx;
  bool accumulate;
  E* partials;
  int64_t rows, n;
};

/// dx (+)= scale (g − slope − x̂ projection) for V elements.
template <int V, class E>
__device__ inline void put_dx(E* dx, const E (&g)[V], const E (&normal)[V], E scale, E slope, E projection,
                              bool accumulate) {
  E out[V];
  if (accumulate) load_pack<V>(dx, out);
#pragma unroll
  for (int e = 0; e < V; ++e) {
    const E value = scale * multiply_add(-normal[e], projection, g[e] - slope);
    out[e] = accumulate ? out[e] + value : value;
  }
  store_pack<V>(dx, out);
}

/// A block owns `block_rows` rows and a warp takes every fourth of them, with x and dy in registers: both are read
/// once and dx is written once. The sums for dgamma and dbeta stay in registers, too, until the warps' sums are added
/// in ascending order.
template <class E, class T, int V, int K>
__global__ void __launch_bounds__(kGradThreads, V* K <= 24 ? 3 : 1)
    layer_norm_grad_kernel(GradData<E, T> a, int block_rows) {
  GPU_DYNAMIC_SHARED(E, shared);  // [kGradWarps][n]
  const int n = static_cast<int>(a.n);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * block_rows;
  const int64_t last = first + block_rows < a.rows ? first + block_rows : a.rows;
  const E* __restrict__ gamma = a.gamma;
  E sums[2][K][V] = {};
  for (int64_t row = first + warp; row < last; row += kGradWarps) {
    E normal[K][V];
    E g[K][V];
    each_group<V, K>(lane, n, [&](int k, int i) {
      load_pack<V>(a.x + row * n + i, normal[k]);
      load_pack<V>(a.dy + row * n + i, g[k]);
    });
    const E mean = a.mean[row];
    const E scale = a.rstd[row];
    E slope = 0;
    E projection = 0;
    each_group<V, K>(lane, n, [&](int k, int i) {
      E weight[V];
      load_pack<V>(gamma + i, weight);
#pragma unroll
      for (int e = 0; e < V; ++e) {
        normal[k][e] = (normal[k][e] - mean) * scale;
        sums[0][k][e] = multiply_add(g[k][e], normal[k][e], sums[0][k][e]);
        sums[1][k][e] += g[k][e];
        g[k][e] *= weight[e];
        slope += g[k][e];
        projection = multiply_add(g[k][e], normal[k][e], projection);
      }
    });
    if (a.dx == nullptr) continue;
    slope = warp_sum(slope) / static_cast<E>(n);
    projection = warp_sum(projection) / static_cast<E>(n);
    each_group<V, K>(lane, n, [&](int k, int i) {
      put_dx<V>(a.dx + row * n + i, g[k], normal[k], scale, slope, projection, a.accumulate);
    });
  }
  if (a.partials == nullptr) return;
#pragma unroll
  for (int which = 0; which < 2; ++which) {
    each_group<V, K>(lane, n, [&](int k, int i) {
#pragma unroll
      for (int e = 0; e < V; ++e) shared[warp * n + i + e] = sums[which][k][e];
    });
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kGradThreads) {
      E sum = shared[i];
      for (int w = 1; w < kGradWarps; ++w) sum += shared[w * n + i];
      a.partials[(static_cast<int64_t>(blockIdx.x) * 2 + which) * n + i] = sum;
    }
    __syncthreads();
  }
}

/// A block owns a row and reads x and dy twice, the second time from the caches.
template <class E, class T>
__global__ void __launch_bounds__(kThreads) layer_norm_grad_wide_kernel(GradData<E, T> a) {
  GPU_SHARED(E, shared, [2][kWarps]);
  const int64_t at = static_cast<int64_t>(blockIdx.x) * a.n;
  const E mean = a.mean[blockIdx.x];
  const E scale = a.rstd[blockIdx.x];
  E slope = 0;
  E projection = 0;
  for (int64_t i = threadIdx.x; i < a.n; i += kThreads) {
    const E g = widen(a.dy[at + i]) * a.gamma[i];
    slope += g;
    projection = multiply_add(g, (a.x[at + i] - mean) * scale, projection);
  }
  slope = block_sum<kWarps>(slope, shared[0]) / static_cast<E>(a.n);
  projection = block_sum<kWarps>(projection, shared[1]) / static_cast<E>(a.n);
  for (int64_t i = threadIdx.x; i < a.n; i += kThreads) {
    const E g[1] = {widen(a.dy[at + i]) * a.gamma[i]};
    const E normal[1] = {(a.x[at + i] - mean) * scale};
    put_dx<1>(a.dx + at + i, g, normal, scale, slope, projection, a.accumulate);
  }
}

/// dy x̂ and dy, the terms of dgamma and dbeta.
template <class E, class T>
struct ParameterTerms {
  GradData<E, T> a;

  template <int V>
  __device__ void operator()(int64_t row, int64_t column, E (&t)[2][V]) const {
    load_pack<V>(a.x + row * a.n + column, t[0]);
    load_pack<V>(a.dy + row * a.n + column, t[1]);
    const E mean = a.mean[row];
    const E scale = a.rstd[row];
#pragma unroll
    for (int e = 0; e < V; ++e) t[0][e] = t[1][e] * ((t[0][e] - mean) * scale);
  }
};

/// Rows of one partial sum: fewer where there are few rows, so that the device has enough blocks.
constexpr int grad_block_rows(int64_t rows) { return rows < 32768 ? 32 : 64; }

template <class T>
void layer_norm_grad_as(Context& context, const LayerNormGradArgs& args) {
  using E = Compute<T>;
  GradData<E, T> a{.x = args.x.data<const E>(),
                   .gamma = args.gamma.data<const E>(),
                   .mean = args.mean.data<const E>(),
                   .rstd = args.rstd.data<const E>(),
                   .dy = args.dy.data<const T>(),
                   .dx = args.dx.data<E>(),
                   .accumulate = args.dx_mode == GradMode::accumulate,
                   .partials = nullptr,
                   .rows = args.x.size(0),
                   .n = args.x.size(1)};
  if (a.n == 0) return;
  const bool parameters = args.dgamma || args.dbeta;
  const bool vectors = a.n % 4 == 0 && packs<4>(a.x) && packs<4>(a.gamma) && packs<4>(a.dy) && packs<4>(a.dx);
  const int block_rows = grad_block_rows(a.rows);
  int64_t blocks = blocks_of(a.rows, block_rows);
  const int64_t most_blocks = blocks > column_blocks(a.rows) ? blocks : column_blocks(a.rows);
  const Scratch scratch(context, parameters ? static_cast<size_t>(most_blocks * 2 * a.n) * sizeof(E) : 0);
  if (parameters) a.partials = scratch.as<E>();
  const cudaStream_t stream = stream_of(context);
  const bool narrow_rows = by_row_width<E>(a.n, vectors, [&](auto v, auto k) {
    if (a.rows == 0) return;
    GPU_LAUNCH((layer_norm_grad_kernel<E, T, v(), k()>), dim3(extent(blocks)), dim3(kGradThreads),
               static_cast<size_t>(kGradWarps * a.n) * sizeof(E), stream, a, block_rows);
  });
  if (!narrow_rows) {
    if (a.dx != nullptr && a.rows > 0) {
      GPU_LAUNCH((layer_norm_grad_wide_kernel<E, T>), dim3(extent(a.rows)), dim3(kThreads), 0, stream, a);
    }
    blocks = column_blocks(a.rows);
    if (parameters) column_partials<2, 4>(context, a.rows, a.n, vectors, a.partials, ParameterTerms<E, T>{a});
  }
  if (!parameters) return;
  finish_column_sums(context, a.partials, blocks, 2 * a.n, a.n, args.dgamma, args.gamma_mode);
  finish_column_sums(context, a.partials + a.n, blocks, 2 * a.n, a.n, args.dbeta, args.beta_mode);
}

}  // namespace

void layer_norm(Context& context, const LayerNormArgs& a) {
  if (a.x.size(0) == 0) return;
  by_type(a.y.dtype, [&](auto zero) { layer_norm_as<decltype(zero)>(context, a); });
}

void layer_norm_grad(Context& context, const LayerNormGradArgs& a) {
  by_type(a.dy.dtype, [&](auto zero) { layer_norm_grad_as<decltype(zero)>(context, a); });
}

}  // namespace tessera::cuda
