#include "engine/cuda/column_sums.h"
#include "engine/cuda/gpu_vector.h"
#include "engine/cuda/kernels/norm_kernels.h"
#include "engine/cuda/row_lanes.h"

namespace tessera::cuda {
namespace {

// The kernels over all elements give a thread V adjacent columns, whose statistics it keeps in registers, and every
// eighth row of a block of rows.
constexpr int kLanes = 8;
constexpr int kBlockRows = 64;

/// A block's place: the thread's first column and the rows that it takes, `kLanes` apart.
struct Place {
  int64_t column, row, last;
  template <int V>
  __device__ static Place of(int64_t rows, int64_t strips) {
    const int64_t first = static_cast<int64_t>(blockIdx.x) / strips * kBlockRows;
    return {(static_cast<int64_t>(blockIdx.x) % strips * kWarp + threadIdx.x) * V, first + threadIdx.y,
            first + kBlockRows < rows ? first + kBlockRows : rows};
  }
};
template <int V>
int64_t strips_of(int64_t columns) {
  return blocks_of(columns, kWarp * V);
}

template <class E>
struct Elements {
  const E* x;
  int64_t columns;

  template <int V>
  __device__ void operator()(int64_t row, int64_t column, E (&t)[1][V]) const {
    load_pack<V>(x + row * columns + column, t[0]);
  }
};
template <class E>
struct Squares {
  const E* x;
  const E* mean;
  int64_t columns;

  template <int V>
  __device__ void operator()(int64_t row, int64_t column, E (&t)[1][V]) const {
    E m[V];
    load_pack<V>(mean + column, m);
    load_pack<V>(x + row * columns + column, t[0]);
#pragma unroll
    for (int e = 0; e < V; ++e) t[0][e] = (t[0][e] - m[e]) * (t[0][e] - m[e]);
  }
};

/// Sums become means. They are divided, so that a constant column has variance 0.
template <class E>
__global__ void __launch_bounds__(256) divide_kernel(E* __restrict__ sums, int64_t columns, E count) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (c < columns) sums[c] = sums[c] / count;
}

template <class E>
void column_moments_as(Context& context, const ColumnMomentsArgs& a) {
  const int64_t rows = a.x.size(0);
  const int64_t n = a.x.size(1);
  const auto* x = a.x.data<const E>();
  auto* mean = a.mean.data<E>();
  const bool vectors = n % 4 == 0 && packs<4>(x) && packs<4>(mean);
  const Scratch scratch(context, static_cast<size_t>(column_blocks(rows) * n) * sizeof(E));
  const auto average = [&](const View& out, const auto& terms) {
    column_partials<1, 4>(context, rows, n, vectors, scratch.as<E>(), terms);
    finish_column_sums(context, scratch.as<E>(), column_blocks(rows), n, n, out, GradMode::overwrite);
    GPU_LAUNCH((divide_kernel<E>), dim3(extent(blocks_of(n, 256))), dim3(256), 0, stream_of(context), out.data<E>(), n,
               static_cast<E>(rows > 0 ? rows : 1));
  };
  average(a.mean, Elements<E>{x, n});
  average(a.variance, Squares<E>{x, mean, n});
}

/// Absent parameters are null. The first block of rows writes rstd.
template <class E, class Y>
struct ForwardData {
  const E *x, *mean, *variance, *gamma, *beta;
  E eps;
  Y* y;
  E* rstd;
  int64_t rows, columns, strips;
};

/// x is read once and y written once.
template <class E, class Y, int V>
__global__ void __launch_bounds__(kWarp* kLanes) batch_norm_kernel(ForwardData<E, Y> a) {
  const Place at = Place::of<V>(a.rows, a.strips);
  if (at.column >= a.columns) return;
  E mean[V];
  E scale[V];
  E gamma[V];
  E beta[V];
  load_pack<V>(a.mean + at.column, mean);
  load_pack<V>(a.variance + at.column, scale);
  if (a.gamma != nullptr) load_pack<V>(a.gamma + at.column, gamma);
  if (a.beta != nullptr) load_pack<V>(a.beta + at.column, beta);
#pragma unroll
  for (int e = 0; e < V; ++e) {
    scale[e] = E(1) / root(scale[e] + a.eps);
    if (a.gamma == nullptr) gamma[e] = E(1);
    if (a.beta == nullptr) beta[e] = E(0);
  }
  if (blockIdx.x < a.strips && threadIdx.y == 0) store_pack<V>(a.rstd + at.column, scale);
  const E* __restrict__ x = a.x;
  Y* __restrict__ y = a.y;
#pragma unroll 4
  for (int64_t row = at.row; row < at.last; row += kLanes) {
    E v[V];
    load_pack<V>(x + row * a.columns + at.column, v);
#pragma unroll
    for (int e = 0; e < V; ++e) v[e] = multiply_add((v[e] - mean[e]) * scale[e], gamma[e], beta[e]);
    store_pack<V>(y + row * a.columns + at.column, v);
  }
}

template <class Y>
void batch_norm_as(Context& context, const BatchNormArgs& args) {
  using E = Compute<Y>;
  ForwardData<E, Y> a{.x = args.x.data<const E>(),
                      .mean = args.mean.data<const E>(),
                      .variance = args.variance.data<const E>(),
                      .gamma = args.gamma.data<const E>(),
                      .beta = args.beta.data<const E>(),
                      .eps = static_cast<E>(args.eps),
                      .y = args.y.data<Y>(),
                      .rstd = args.rstd.data<E>(),
                      .rows = args.x.size(0),
                      .columns = args.x.size(1),
                      .strips = 0};
  if (a.columns == 0) return;
  const bool vectors = a.columns % 4 == 0 && packs<4>(a.x) && packs<4>(a.y) && packs<4>(a.rstd) && packs<4>(a.mean) &&
                       packs<4>(a.variance) && packs<4>(a.gamma) && packs<4>(a.beta);
  a.strips = vectors ? strips_of<4>(a.columns) : strips_of<1>(a.columns);
  // Without rows one block of rows still writes rstd.
  const dim3 grid(extent((a.rows > 0 ? blocks_of(a.rows, kBlockRows) : 1) * a.strips));
  if (vectors) {
    GPU_LAUNCH((batch_norm_kernel<E, Y, 4>), grid, dim3(kWarp, kLanes), 0, stream_of(context), a);
  } else {
    GPU_LAUNCH((batch_norm_kernel<E, Y, 1>), grid, dim3(kWarp, kLanes), 0, stream_of(context), a);
  }
}

/// gamma is null where it is absent; slope and projection [columns] are Σ_r dy and Σ_r dy x̂, or null where the moments
/// are not those of x.
template <class E, class T>
struct BackwardData {
  const E *x, *gamma, *mean, *rstd;
  const T* dy;
  const E *slope, *projection;
  E* dx;
  bool accumulate;
  int64_t rows, columns, strips;
};

/// dy and dy x̂.
template <class E, class T>
struct GradTerms {
  BackwardData<E, T> a;

  template <int V>
  __device__ void operator()(int64_t row, int64_t column, E (&t)[2][V]) const {
    E mean[V];
    E scale[V];
    load_pack<V>(a.mean + column, mean);
    load_pack<V>(a.rstd + column, scale);
    load_pack<V>(a.dy + row * a.columns + column, t[0]);
    load_pack<V>(a.x + row * a.columns + column, t[1]);
#pragma unroll
    for (int e = 0; e < V; ++e) t[1][e] = t[0][e] * ((t[1][e] - mean[e]) * scale[e]);
  }
};

/// x and dy are read once and dx is written once.
template <class E, class T, int V>
__global__ void __launch_bounds__(kWarp* kLanes) batch_norm_grad_kernel(BackwardData<E, T> a) {
  const Place at = Place::of<V>(a.rows, a.strips);
  if (at.column >= a.columns) return;
  const bool own = a.slope != nullptr;
  const E inverse = E(1) / static_cast<E>(a.rows);
  E mean[V];
  E scale[V];
  E gamma[V];
  E slope[V];
  E projection[V];
  load_pack<V>(a.mean + at.column, mean);
  load_pack<V>(a.rstd + at.column, scale);
  if (a.gamma != nullptr) load_pack<V>(a.gamma + at.column, gamma);
  if (own) {
    load_pack<V>(a.slope + at.column, slope);
    load_pack<V>(a.projection + at.column, projection);
  }
#pragma unroll
  for (int e = 0; e < V; ++e) {
    gamma[e] = a.gamma != nullptr ? gamma[e] * scale[e] : scale[e];
    slope[e] = own ? slope[e] * inverse : E(0);
    projection[e] = own ? projection[e] * inverse : E(0);
  }
  const E* __restrict__ x = a.x;
  const T* __restrict__ dy = a.dy;
  E* __restrict__ dx = a.dx;
#pragma unroll 4
  for (int64_t row = at.row; row < at.last; row += kLanes) {
    const int64_t i = row * a.columns + at.column;
    E g[V];
    E v[V];
    E out[V];
    load_pack<V>(dy + i, g);
    if (own) load_pack<V>(x + i, v);
    if (a.accumulate) load_pack<V>(dx + i, out);
#pragma unroll
    for (int e = 0; e < V; ++e) {
      if (own) g[e] = multiply_add(-(v[e] - mean[e]) * scale[e], projection[e], g[e] - slope[e]);
      out[e] = a.accumulate ? multiply_add(g[e], gamma[e], out[e]) : g[e] * gamma[e];
    }
    store_pack<V>(dx + i, out);
  }
}

template <class T>
void batch_norm_grad_as(Context& context, const BatchNormGradArgs& args) {
  using E = Compute<T>;
  BackwardData<E, T> a{.x = args.x.data<const E>(),
                       .gamma = args.gamma.data<const E>(),
                       .mean = args.mean.data<const E>(),
                       .rstd = args.rstd.data<const E>(),
                       .dy = args.dy.data<const T>(),
                       .slope = nullptr,
                       .projection = nullptr,
                       .dx = args.dx.data<E>(),
                       .accumulate = args.dx_mode == GradMode::accumulate,
                       .rows = args.x.size(0),
                       .columns = args.x.size(1),
                       .strips = 0};
  const int64_t n = a.columns;
  if (n == 0) return;
  const bool sums = args.dgamma || args.dbeta || args.own_moments;
  const int64_t blocks = sums ? column_blocks(a.rows) : 0;
  const Scratch scratch(context, static_cast<size_t>((blocks + 1) * 2 * n) * sizeof(E));
  E* totals = scratch.as<E>();  // Σ dy, Σ dy x̂
  E* partials = totals + 2 * n;
  const bool vectors = n % 4 == 0 && packs<4>(a.x) && packs<4>(a.dy) && packs<4>(a.dx) && packs<4>(a.mean) &&
                       packs<4>(a.rstd) && packs<4>(a.gamma);
  if (sums) {
    column_partials<2, 4>(context, a.rows, n, vectors, partials, GradTerms<E, T>{a});
    finish_column_sums(context, partials, blocks, 2 * n, n, args.dbeta, args.beta_mode);
    finish_column_sums(context, partials + n, blocks, 2 * n, n, args.dgamma, args.gamma_mode);
  }
  if (a.dx == nullptr || a.rows == 0) return;
  if (args.own_moments) {
    finish_column_sums(context, partials, blocks, 2 * n, 2 * n, totals, GradMode::overwrite);
    a.slope = totals;
    a.projection = totals + n;
  }
  a.strips = vectors ? strips_of<4>(n) : strips_of<1>(n);
  const dim3 grid(extent(blocks_of(a.rows, kBlockRows) * a.strips));
  if (vectors) {
    GPU_LAUNCH((batch_norm_grad_kernel<E, T, 4>), grid, dim3(kWarp, kLanes), 0, stream_of(context), a);
  } else {
    GPU_LAUNCH((batch_norm_grad_kernel<E, T, 1>), grid, dim3(kWarp, kLanes), 0, stream_of(context), a);
  }
}

}  // namespace

void column_moments(Context& context, const ColumnMomentsArgs& a) {
  if (a.x.size(1) == 0) return;
  a.x.dtype == DType::f64 ? column_moments_as<double>(context, a) : column_moments_as<float>(context, a);
}

void batch_norm(Context& context, const BatchNormArgs& a) {
  by_type(a.y.dtype, [&](auto zero) { batch_norm_as<decltype(zero)>(context, a); });
}

void batch_norm_grad(Context& context, const BatchNormGradArgs& a) {
  by_type(a.dy.dtype, [&](auto zero) { batch_norm_grad_as<decltype(zero)>(context, a); });
}

}  // namespace tessera::cuda
