#include "engine/ops/norm.h"

#include "engine/cuda/kernels/norm_kernels.h"
#include "engine/cuda/row_lanes.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr double kSmallestNorm = 1e-12;

/// What a row is divided by. A NaN stays one.
template <class E>
__device__ inline E divisor_of(E norm) {
  return norm <= static_cast<E>(kSmallestNorm) ? static_cast<E>(kSmallestNorm) : norm;
}

/// A warp owns a row and keeps it in registers: one read, one write.
template <class E, int V, int K>
__global__ void __launch_bounds__(kThreads)
    l2_normalize_kernel(const E* __restrict__ x, E* __restrict__ y, E* __restrict__ norm, int64_t rows, int n) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (row >= rows) return;
  E v[K][V];
  each_group<V, K>(lane, n, [&](int k, int i) { load_pack<V>(x + row * n + i, v[k]); });
  E squares = 0;
  each_group<V, K>(lane, n, [&](int k, int) {
#pragma unroll
    for (int e = 0; e < V; ++e) squares = multiply_add(v[k][e], v[k][e], squares);
  });
  const E length = root(warp_sum(squares));
  if (lane == 0 && norm != nullptr) norm[row] = length;
  const E inverse = E(1) / divisor_of(length);
  each_group<V, K>(lane, n, [&](int k, int i) {
#pragma unroll
    for (int e = 0; e < V; ++e) v[k][e] *= inverse;
    store_pack<V>(y + row * n + i, v[k]);
  });
}

/// A block owns a row and reads it twice, the second time from the caches.
template <class E>
__global__ void __launch_bounds__(kThreads)
    l2_normalize_wide_kernel(const E* __restrict__ x, E* __restrict__ y, E* __restrict__ norm, int64_t n) {
  GPU_SHARED(E, shared, [kWarps]);
  const int64_t row = blockIdx.x;
  x += row * n;
  E squares = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) squares = multiply_add(x[i], x[i], squares);
  const E length = root(block_sum<kWarps>(squares, shared));
  if (threadIdx.x == 0 && norm != nullptr) norm[row] = length;
  const E inverse = E(1) / divisor_of(length);
  for (int64_t i = threadIdx.x; i < n; i += kThreads) y[row * n + i] = x[i] * inverse;
}

template <class E>
void l2_normalize_as(Context& context, const L2NormalizeArgs& a) {
  const int64_t rows = a.x.size(0);
  const int64_t n = a.x.size(1);
  const auto* x = a.x.data<const E>();
  auto* y = a.y.data<E>();
  const bool vectors = n % 4 == 0 && packs<4>(x) && packs<4>(y);
  const bool narrow_rows = by_row_width<E>(n, vectors, [&](auto v, auto k) {
    GPU_LAUNCH((l2_normalize_kernel<E, v(), k()>), dim3(extent(blocks_of(rows, kWarps))), dim3(kThreads), 0,
               stream_of(context), x, y, a.norm.data<E>(), rows, static_cast<int>(n));
  });
  if (narrow_rows) return;
  GPU_LAUNCH((l2_normalize_wide_kernel<E>), dim3(extent(rows)), dim3(kThreads), 0, stream_of(context), x, y,
             a.norm.data<E>(), n);
}

/// dx (+)= (dy − y projection) · inverse for V elements.
template <int V, class E>
__device__ inline void put_dx(E* dx, const E (&dy)[V], const E (&y)[V], E projection, E inverse, bool accumulate) {
  E out[V];
  if (accumulate) load_pack<V>(dx, out);
#pragma unroll
  for (int e = 0; e < V; ++e) {
    const E value = multiply_add(-y[e], projection, dy[e]) * inverse;
    out[e] = accumulate ? out[e] + value : value;
  }
  store_pack<V>(dx, out);
}

/// A warp owns a row and keeps y and dy in registers: two reads, one write.
template <class E, int V, int K>
__global__ void __launch_bounds__(kThreads)
    l2_normalize_grad_kernel(const E* __restrict__ y, const E* __restrict__ norm, const E* __restrict__ dy,
                             E* __restrict__ dx, bool accumulate, int64_t rows, int n) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (row >= rows) return;
  E v[K][V];
  E g[K][V];
  each_group<V, K>(lane, n, [&](int k, int i) {
    load_pack<V>(y + row * n + i, v[k]);
    load_pack<V>(dy + row * n + i, g[k]);
  });
  E projection = 0;
  each_group<V, K>(lane, n, [&](int k, int) {
#pragma unroll
    for (int e = 0; e < V; ++e) projection = multiply_add(v[k][e], g[k][e], projection);
  });
  projection = warp_sum(projection);
  const bool small = norm[row] <= static_cast<E>(kSmallestNorm);
  const E inverse = E(1) / divisor_of(norm[row]);
  each_group<V, K>(lane, n, [&](int k, int i) {
    put_dx<V>(dx + row * n + i, g[k], v[k], small ? E(0) : projection, inverse, accumulate);
  });
}

/// A block owns a row and reads y and dy twice, the second time from the caches.
template <class E>
__global__ void __launch_bounds__(kThreads)
    l2_normalize_grad_wide_kernel(const E* __restrict__ y, const E* __restrict__ norm, const E* __restrict__ dy,
                                  E* __restrict__ dx, bool accumulate, int64_t n) {
  GPU_SHARED(E, shared, [kWarps]);
  const int64_t row = blockIdx.x;
  E sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum = multiply_add(y[row * n + i], dy[row * n + i], sum);
  const E projection = block_sum<kWarps>(sum, shared);
  const bool small = norm[row] <= static_cast<E>(kSmallestNorm);
  const E inverse = E(1) / divisor_of(norm[row]);
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    const E g[1] = {dy[row * n + i]};
    const E v[1] = {y[row * n + i]};
    put_dx<1>(dx + row * n + i, g, v, small ? E(0) : projection, inverse, accumulate);
  }
}

template <class E>
void l2_normalize_grad_as(Context& context, const L2NormalizeGradArgs& a) {
  const int64_t rows = a.y.size(0);
  const int64_t n = a.y.size(1);
  const auto* y = a.y.data<const E>();
  const auto* norm = a.norm.data<const E>();
  const auto* dy = a.dy.data<const E>();
  auto* dx = a.dx.data<E>();
  const bool accumulate = a.mode == GradMode::accumulate;
  const bool vectors = n % 4 == 0 && packs<4>(y) && packs<4>(dy) && packs<4>(dx);
  const bool narrow_rows = by_row_width<E>(n, vectors, [&](auto v, auto k) {
    GPU_LAUNCH((l2_normalize_grad_kernel<E, v(), k()>), dim3(extent(blocks_of(rows, kWarps))), dim3(kThreads), 0,
               stream_of(context), y, norm, dy, dx, accumulate, rows, static_cast<int>(n));
  });
  if (narrow_rows) return;
  GPU_LAUNCH((l2_normalize_grad_wide_kernel<E>), dim3(extent(rows)), dim3(kThreads), 0, stream_of(context), y, norm, dy,
             dx, accumulate, n);
}

}  // namespace

void l2_normalize(Context& context, const L2NormalizeArgs& a) {
  if (a.x.size(0) == 0) return;
  a.x.dtype == DType::f64 ? l2_normalize_as<double>(context, a) : l2_normalize_as<float>(context, a);
}

void l2_normalize_grad(Context& context, const L2NormalizeGradArgs& a) {
  if (a.y.size(0) == 0) return;
  a.y.dtype == DType::f64 ? l2_normalize_grad_as<double>(context, a) : l2_normalize_grad_as<float>(context, a);
}

const NormKernels kNormKernels{.layer_norm = layer_norm,
                               .layer_norm_grad = layer_norm_grad,
                               .l2_normalize = l2_normalize,
                               .l2_normalize_grad = l2_normalize_grad,
                               .column_moments = column_moments,
                               .batch_norm = batch_norm,
                               .batch_norm_grad = batch_norm_grad};

}  // namespace tessera::cuda
