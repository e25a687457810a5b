#include "engine/ops/rows.h"

#include "engine/cuda/gpu_vector.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

constexpr int kRowsOfBlock = 8;

struct GatherRows {
  const int32_t* index;
  const int32_t* table_index;
  int64_t rows, columns;
};

/// A warp makes one row, a lane V adjacent columns at a time. Reads the rows that are named and writes y once.
template <int V, class T, class Y>
__global__ void __launch_bounds__(kWarp* kRowsOfBlock)
    gather_kernel(GatherRows g, const T* __restrict__ source, const T* __restrict__ fill, const T* __restrict__ table,
                  Y* __restrict__ y) {
  using E = Compute<T>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.y;
  if (row >= g.rows) return;
  const int64_t from = g.index == nullptr ? row : g.index[row];
  const int64_t added = table == nullptr ? -1 : g.table_index[row];
  const T* x = from < 0 ? fill : source + from * g.columns;
  const T* t = added < 0 ? nullptr : table + added * g.columns;
  Y* to = y + row * g.columns;
#pragma unroll 4
  for (int64_t c = threadIdx.x * V; c < g.columns; c += kWarp * V) {
    E v[V] = {};
    if (x != nullptr) load_pack<V>(x + c, v);
    if (t != nullptr) {
      E w[V];
      load_pack<V>(t + c, w);
#pragma unroll
      for (int i = 0; i < V; ++i) v[i] += w[i];
    }
    store_pack<V>(to + c, v);
  }
}

/// Elements of an access of both types.
template <class T, class Y>
inline constexpr int kAccess = kPackOf<T> < kPackOf<Y> ? kPackOf<T> : kPackOf<Y>;

template <class T, class Y>
void gather_as(Context& context, const GatherRowsArgs& a) {
  const GatherRows g{.index = a.index.data<const int32_t>(),
                     .table_index = a.table_index.data<const int32_t>(),
                     .rows = a.y.size(0),
                     .columns = a.y.size(1)};
  if (g.rows == 0 || g.columns == 0) return;
  constexpr int kEach = kAccess<T, Y>;
  const T* x = a.x.data<const T>();
  const T* fill = a.fill.data<const T>();
  const T* table = a.table.data<const T>();
  Y* y = a.y.data<Y>();
  const dim3 grid(extent(blocks_of(g.rows, kRowsOfBlock)));
  const dim3 block(kWarp, kRowsOfBlock);
  if (g.columns % kEach == 0 && packs<kEach>(x) && packs<kEach>(fill) && packs<kEach>(table) && packs<kEach>(y)) {
    GPU_LAUNCH((gather_kernel<kEach, T, Y>), grid, block, 0, stream_of(context), g, x, fill, table, y);
  } else {
    GPU_LAUNCH((gather_kernel<1, T, Y>), grid, block, 0, stream_of(context), g, x, fill, table, y);
  }
}

void gather(Context& context, const GatherRowsArgs& a) {
  const bool narrow = a.y.dtype == DType::bf16;
  switch (a.x.dtype) {
    case DType::f32:
      return narrow ? gather_as<float, bfloat16>(context, a) : gather_as<float, float>(context, a);
    case DType::bf16:
      return narrow ? gather_as<bfloat16, bfloat16>(context, a) : gather_as<bfloat16, float>(context, a);
    default:
      return gather_as<double, double>(context, a);
  }
}

constexpr int kFindThreads = 256;

/// A thread per target row finds by binary search where its entries of `order` start: starts [rows + 1].
__global__ void __launch_bounds__(kFindThreads)
    find_runs_kernel(const int32_t* __restrict__ index, const int32_t* __restrict__ order, int64_t count, int64_t rows,
                     int32_t* __restrict__ starts) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kFindThreads + threadIdx.x;
  if (row > rows) return;
  int64_t low = 0;
  int64_t high = count;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (index[order[middle]] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  starts[row] = static_cast<int32_t>(low);
}

struct ScatterRows {
  const int32_t* order;
  const int32_t* starts;
  int64_t rows, columns, strips;
  bool accumulate;
};

/// The sum over every kStep-th of the entries [at, end) of a run, in V columns from c on.
template <int V, int kStep, class T>
__device__ void add_run(const ScatterRows& s, const T* dy, int64_t at, int64_t end, int64_t c, Compute<T> (&sum)[V]) {
#pragma unroll 4
  for (; at < end; at += kStep) {
    Compute<T> v[V];
    load_pack<V>(dy + s.order[at] * s.columns + c, v);
#pragma unroll
    for (int i = 0; i < V; ++i) sum[i] += v[i];
  }
}

template <int V, class E, class X>
__device__ void put_sum(E (&sum)[V], X* to, bool accumulate) {
  if (accumulate) {
    E old[V];
    load_pack<V>(to, old);
#pragma unroll
    for (int i = 0; i < V; ++i) sum[i] += old[i];
  }
  store_pack<V>(to, sum);
}

/// A warp makes one row of dx, a lane V adjacent columns at a time, and adds the row's entries in ascending order.
template <int V, class T, class X>
__global__ void __launch_bounds__(kWarp* kRowsOfBlock)
    scatter_kernel(ScatterRows s, const T* __restrict__ dy, X* __restrict__ dx) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.y;
  if (row >= s.rows) return;
  const int64_t begin = s.starts[row];
  const int64_t end = s.starts[row + 1];
  if (begin == end && s.accumulate) return;
  for (int64_t c = threadIdx.x * V; c < s.columns; c += kWarp * V) {
    Compute<T> sum[V] = {};
    add_run<V, 1>(s, dy, begin, end, c, sum);
    put_sum<V>(sum, dx + row * s.columns + c, s.accumulate);
  }
}

constexpr int kManyWarps = 16;

/// For long runs. A thread block makes 32 · V columns of one row of dx: its warps take the row's entries in turn, and
/// their sums are added in ascending order of the warps.
template <int V, class T, class X>
__global__ void __launch_bounds__(kWarp* kManyWarps)
    scatter_many_kernel(ScatterRows s, const T* __restrict__ dy, X* __restrict__ dx) {
  using E = Compute<T>;
  GPU_SHARED(E, shared, [kManyWarps][V][kWarp]);
  const int64_t row = blockIdx.x / s.strips;
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t c = (blockIdx.x % s.strips * kWarp + lane) * V;
  E sum[V] = {};
  if (c < s.columns) add_run<V, kManyWarps>(s, dy, s.starts[row] + threadIdx.y, s.starts[row + 1], c, sum);
#pragma unroll
  for (int i = 0; i < V; ++i) shared[threadIdx.y][i][lane] = sum[i];
  __syncthreads();
  if (threadIdx.y != 0 || c >= s.columns) return;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    for (int w = 1; w < kManyWarps; ++w) sum[i] += shared[w][i][lane];
  }
  put_sum<V>(sum, dx + row * s.columns + c, s.accumulate);
}

template <int V, class T, class X>
void scatter_launch(Context& context, ScatterRows s, bool many, const T* dy, X* dx) {
  if (many) {
    s.strips = blocks_of(s.columns, kWarp * V);
    GPU_LAUNCH((scatter_many_kernel<V, T, X>), dim3(extent(s.rows * s.strips)), dim3(kWarp, kManyWarps), 0,
               stream_of(context), s, dy, dx);
  } else {
    GPU_LAUNCH((scatter_kernel<V, T, X>), dim3(extent(blocks_of(s.rows, kRowsOfBlock))), dim3(kWarp, kRowsOfBlock), 0,
               stream_of(context), s, dy, dx);
  }
}

/// Long runs, such as those of a token that many rows share, are split between warps. Where even so few blocks are
/// left, each takes narrower strips. Both choices follow from the numbers of rows alone.
template <class T, class X>
void scatter_as(Context& context, const ScatterAddRowsArgs& a) {
  constexpr int64_t kLongRun = 32;
  constexpr int64_t kFewBlocks = 128;
  constexpr int kEach = kAccess<T, X>;
  const int64_t count = a.index.numel();
  ScatterRows s{.order = a.order.data<const int32_t>(),
                .starts = nullptr,
                .rows = a.dx.size(0),
                .columns = a.dx.size(1),
                .strips = 1,
                .accumulate = a.mode == GradMode::accumulate};
  if (s.rows == 0 || s.columns == 0) return;
  const Scratch scratch(context, static_cast<size_t>(s.rows + 1) * sizeof(int32_t));
  GPU_LAUNCH(find_runs_kernel, dim3(extent(blocks_of(s.rows + 1, kFindThreads))), dim3(kFindThreads), 0,
             stream_of(context), a.index.data<const int32_t>(), s.order, count, s.rows, scratch.as<int32_t>());
  s.starts = scratch.as<const int32_t>();
  const T* dy = a.dy.data<const T>();
  X* dx = a.dx.data<X>();
  const bool many = count >= kLongRun * s.rows;
  const bool few = many && s.rows * blocks_of(s.columns, kWarp * kEach) < kFewBlocks;
  if (!few && s.columns % kEach == 0 && packs<kEach>(dy) && packs<kEach>(dx)) {
    scatter_launch<kEach>(context, s, many, dy, dx);
  } else {
    scatter_launch<1>(context, s, many, dy, dx);
  }
}

void scatter_add(Context& context, const ScatterAddRowsArgs& a) {
  const bool narrow = a.dx.dtype == DType::bf16;
  switch (a.dy.dtype) {
    case DType::f32:
      return narrow ? scatter_as<float, bfloat16>(context, a) : scatter_as<float, float>(context, a);
    case DType::bf16:
      return narrow ? scatter_as<bfloat16, bfloat16>(context, a) : scatter_as<bfloat16, float>(context, a);
    default:
      return scatter_as<double, double>(context, a);
  }
}

}  // namespace

const RowKernels kRowKernels{.gather = gather, .scatter_add = scatter_add};

}  // namespace tessera::cuda
