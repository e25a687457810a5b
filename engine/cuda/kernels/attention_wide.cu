// Attention by FMA: f32, f64, and bf16 with a bias or with rows that the fragments of attention.cu do not take.
// A block of 256 threads computes a tile of 64 × 64 scores as 16 × 16 threads with 4 × 4 scores each; thread (y, x) has
// rows 4 y … 4 y + 3 and columns x, x + 16, x + 32, x + 48. Operands pass through shared memory in slices of the head
// width, and results have up to 64 columns: a wider head has one block per 64 of them, each with scores of its own.
#include "engine/cuda/gpu_rows.h"
#include "engine/cuda/kernels/attention.h"
#include "engine/runtime/context.h"

namespace tessera::cuda::attention {
namespace {

constexpr int kTile = 64;  // rows of a block, and rows that it takes at a time
constexpr int kColumns = 64;
constexpr int kDepth = 32;
constexpr int kThreads = 256;
constexpr int kSide = 16;  // threads along a row
/// Blocks on a multiprocessor: two where the registers suffice.
template <class C, bool kBias>
constexpr int kBlocks = sizeof(C) == 8 || kBias ? 1 : 2;

/// Four adjacent numbers, in accesses of 16 bytes.
template <class C>
struct alignas(16) Four {
  C v[4];
};
__device__ inline Four<float> load_four(const float* p) { return *reinterpret_cast<const Four<float>*>(p); }
__device__ inline Four<double> load_four(const double* p) { return *reinterpret_cast<const Four<double>*>(p); }
struct alignas(8) Quad {
  bfloat16 v[4];
};
__device__ inline Four<float> load_four(const bfloat16* p) {
  const Quad x = *reinterpret_cast<const Quad*>(p);
  return {{widen(x.v[0]), widen(x.v[1]), widen(x.v[2]), widen(x.v[3])}};
}
__device__ inline void store_four(float* p, const Four<float>& x) { *reinterpret_cast<Four<float>*>(p) = x; }
__device__ inline void store_four(double* p, const Four<double>& x) { *reinterpret_cast<Four<double>*>(p) = x; }
__device__ inline void store_four(bfloat16* p, const Four<float>& x) {
  *reinterpret_cast<Quad*>(p) = {
      {narrow<bfloat16>(x.v[0]), narrow<bfloat16>(x.v[1]), narrow<bfloat16>(x.v[2]), narrow<bfloat16>(x.v[3])}};
}

__device__ inline float fma_of(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double fma_of(double a, double b, double c) { return ::fma(a, b, c); }
__device__ inline float exp_of(float x) { return expf(x); }
__device__ inline double exp_of(double x) { return ::exp(x); }
__device__ inline float log_of(float x) { return logf(x); }
__device__ inline double log_of(double x) { return ::log(x); }

/// Over the 16 threads of a row.
template <class C>
__device__ inline C side_max(C v) {
#pragma unroll
  for (int offset = kSide / 2; offset > 0; offset /= 2) {
    const C other = __shfl_xor_sync(kFullMask, v, offset);
    v = other > v ? other : v;
  }
  return v;
}
template <class C>
__device__ inline C side_sum(C v) {
#pragma unroll
  for (int offset = kSide / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(kFullMask, v, offset);
  return v;
}

__device__ inline int thread_x() { return static_cast<int>(threadIdx.x) % kSide; }
__device__ inline int thread_y() { return static_cast<int>(threadIdx.x) / kSide; }

/// Shared memory of a block. Rows are padded so that threads of a warp read different banks.
template <class C>
struct Tiles {
  C left[kTile][kDepth + 4];
  C right[kTile][kDepth + 4];
  C weights[kTile][kTile + 4];
  C values[kTile][kColumns];
};

/// Some rows of a head, from the first that a tile has. `quick`: four adjacent elements are one aligned access.
template <class T>
struct Source {
  const T* data;
  int64_t stride;
  int rows;
  int width;
  bool quick;
};
template <class T>
__device__ inline Source<T> source(const Rows<const T>& from, int64_t segment, int head, int first, int rows,
                                   const Shape& s, bool quick) {
  return {from.at(segment + first, head), from.row_stride, min(kTile, rows - first), s.width, quick};
}

/// Columns [column, column + kCount) of a tile's rows as numbers; zeros beyond the rows and the width.
template <int kCount, int kPitch, class C, class T>
__device__ inline void load_tile(C (&to)[kTile][kPitch], const Source<T>& from, int column) {
  constexpr int kLoads = kTile * kCount / 4 / kThreads;
  Four<C> loaded[kLoads];
#pragma unroll
  for (int u = 0; u < kLoads; ++u) {
    const int i = (static_cast<int>(threadIdx.x) + u * kThreads) * 4;
    const int c = column + i % kCount;
    loaded[u] = Four<C>{};
    if (i / kCount >= from.rows) continue;
    const T* const at = from.data + i / kCount * from.stride + c;
    if (from.quick && c + 4 <= from.width) {
      loaded[u] = load_four(at);
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (c + e < from.width) loaded[u].v[e] = widen(at[e]);
      }
    }
  }
#pragma unroll
  for (int u = 0; u < kLoads; ++u) {
    const int i = (static_cast<int>(threadIdx.x) + u * kThreads) * 4;
    *reinterpret_cast<Four<C>*>(&to[i / kCount][i % kCount]) = loaded[u];
  }
}

/// Whether a warp's rows lie within `rows`. It has four rows of each of two y.
__device__ inline bool has_rows(int rows) { return static_cast<int>(threadIdx.x) / kWarp * 8 < rows; }

/// x = left · rightᵀ over the whole width. Rows and columns beyond the sources are zero.
template <class C, class T>
__device__ inline void products(C (&x)[4][4], const Source<T>& left, const Source<T>& right, Tiles<C>& t) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) x[i][j] = 0;
  }
  for (int column = 0; column < left.width; column += kDepth) {
    __syncthreads();  // the last slice has been read
    load_tile<kDepth>(t.left, left, column);
    load_tile<kDepth>(t.right, right, column);
    __syncthreads();
    if (!has_rows(left.rows)) continue;
    const int depth = min(kDepth, left.width - column);
#pragma unroll 1
    for (int k = 0; k < depth; k += 4) {
      Four<C> a[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = *reinterpret_cast<const Four<C>*>(&t.left[4 * thread_y() + i][k]);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (j * kSide >= right.rows) break;
        const auto b = *reinterpret_cast<const Four<C>*>(&t.right[thread_x() + j * kSide][k]);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
#pragma unroll
          for (int i = 0; i < 4; ++i) x[i][j] = fma_of(a[i].v[e], b.v[e], x[i][j]);
        }
      }
    }
  }
}

/// out[i][e] += weights · values, of column 4 x + e from `column` on. The weights are the tile's, `rows` of them, and
/// the values `values.rows` rows; weights beyond those are zero.
template <class C, class T>
__device__ inline void add_weighted(C (&out)[4][4], const C (&weights)[4][4], int rows, const Source<T>& values,
                                    int column, Tiles<C>& t) {
  __syncthreads();  // the last weights and values have been read
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) t.weights[4 * thread_y() + i][thread_x() + j * kSide] = weights[i][j];
  }
  load_tile<kColumns>(t.values, values, column);
  __syncthreads();
  if (!has_rows(rows)) return;
#pragma unroll 1
  for (int k = 0; k < values.rows; k += 4) {
    Four<C> a[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = *reinterpret_cast<const Four<C>*>(&t.weights[4 * thread_y() + i][k]);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const auto b = *reinterpret_cast<const Four<C>*>(&t.values[k + e][4 * thread_x()]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int n = 0; n < 4; ++n) out[i][n] = fma_of(a[i].v[e], b.v[n], out[i][n]);
      }
    }
  }
}

/// Stores factor[i] · out in the columns of a thread from `column` on.
template <class C, class T>
__device__ inline void store_rows(const C (&out)[4][4], const C (&factor)[4], const Rows<T>& to, int64_t segment,
                                  int head, int first, int rows, int column, int width, bool quick) {
  const int c = column + 4 * thread_x();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first + 4 * thread_y() + i;
    if (row >= rows) continue;
    T* const at = to.at(segment + row, head) + c;
    if (quick && c + 4 <= width) {
      store_four(at, {{out[i][0] * factor[i], out[i][1] * factor[i], out[i][2] * factor[i], out[i][3] * factor[i]}});
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (c + e < width) at[e] = narrow<T>(out[i][e] * factor[i]);
      }
    }
  }
}

/// bias [heads, longest query segment, longest key segment], or its gradient. Null: none.
template <class C>
struct Bias {
  C* data;
  int64_t head_stride, row_stride;
  __device__ C* at(int head, int query, int key) const { return data + head * head_stride + query * row_stride + key; }
};
template <class C>
Bias<C> bias_of(const View& v) {
  return v ? Bias<C>{v.data<C>(), v.stride(0), v.stride(1)} : Bias<C>{};
}

/// The operands of all kernels of a call.
template <class T>
struct Inputs {
  using C = Compute<T>;
  Rows<const T> q, k, v, d_o;
  Bias<const C> bias;
  const C* lse;
  const C* delta;  // Σ o · d_o, like lse
  C scale;
  bool quick;
};

/// The tile and the first column of a block: the tiles of a segment are numbered column by column.
struct Corner {
  int first, column;
};
__device__ inline Corner corner_of(const Place& p, int width) {
  const int columns = (width + kColumns - 1) / kColumns;
  return {p.tile / columns * kTile, p.tile % columns * kColumns};
}
__device__ inline int keys_seen(const Place& p, bool causal, int first) {
  return causal ? min(p.nk, first + kTile) : p.nk;
}
__device__ inline bool sees(const Place& p, bool causal, int query, int key) {
  return query < p.nq && key < p.nk && (!causal || key <= query);
}

/// A block computes 64 queries' rows of up to 64 columns of o, by a running softmax over tiles of 64 keys; the blocks
/// of the first columns store lse. It reads q and k once per tile and v once.
template <bool kBias, class T, class C = Compute<T>>
__global__ void __launch_bounds__(kThreads, kBlocks<C, kBias>)
    forward_kernel(Inputs<T> in, Rows<T> o, C* __restrict__ lse, Shape s) {
  const Place p = place_of(s);
  const auto [first, column] = corner_of(p, s.width);
  if (first >= p.nq) return;
  GPU_DYNAMIC_SHARED(Tiles<C>, shared);
  Tiles<C>& t = *shared;
  const auto queries = source(in.q, p.q0, p.head, first, p.nq, s, in.quick);
  const int row = first + 4 * thread_y();
  C out[4][4] = {};
  C top[4];
  C sum[4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) top[i] = kBelowEveryScore;
  const int seen = keys_seen(p, s.causal, first);
  for (int key = 0; key < seen; key += kTile) {
    C x[4][4];
    products(x, queries, source(in.k, p.k0, p.head, key, p.nk, s, in.quick), t);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      C most = top[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int at = key + thread_x() + j * kSide;
        const bool visible = sees(p, s.causal, row + i, at);
        x[i][j] = visible ? x[i][j] * in.scale : -static_cast<C>(INFINITY);
        if (kBias && visible) x[i][j] += *in.bias.at(p.head, row + i, at);
        most = x[i][j] > most ? x[i][j] : most;
      }
      most = side_max(most);
      const C before = exp_of(top[i] - most);
      C total = 0;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        x[i][j] = exp_of(x[i][j] - most);
        total += x[i][j];
      }
      top[i] = most;
      sum[i] = fma_of(sum[i], before, total);
#pragma unroll
      for (int n = 0; n < 4; ++n) out[i][n] *= before;
    }
    add_weighted(out, x, queries.rows, source(in.v, p.k0, p.head, key, p.nk, s, in.quick), column, t);
  }
  C factor[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const C total = side_sum(sum[i]);
    factor[i] = total > 0 ? 1 / total : 0;
    if (column == 0 && thread_x() == 0 && row + i < p.nq) {
      lse[p.head * s.lse_stride + p.q0 + row + i] = total > 0 ? top[i] + log_of(total) : -static_cast<C>(INFINITY);
    }
  }
  store_rows(out, factor, o, p.q0, p.head, first, p.nq, column, s.width, in.quick);
}

/// delta = Σ o · d_o: a warp per row and head, which reads o and d_o once.
template <class T, class C = Compute<T>>
__global__ void __launch_bounds__(kThreads)
    row_products_kernel(Rows<const T> o, Rows<const T> d_o, C* __restrict__ delta, int64_t rows, Shape s) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (at >= rows * s.heads) return;
  const int64_t row = at / s.heads;
  const int head = static_cast<int>(at % s.heads);
  const T* const a = o.at(row, head);
  const T* const b = d_o.at(row, head);
  C sum = 0;
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < s.width; i += kWarp) {
    sum = fma_of(widen(a[i]), widen(b[i]), sum);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) delta[head * s.lse_stride + row] = sum;
}

/// The weights of a tile in x and its slopes dS / scale in y, for rows of queries (kByQuery) or of keys.
template <bool kByQuery, bool kBias, class T, class C>
__device__ inline void slopes(C (&x)[4][4], C (&y)[4][4], const Inputs<T>& in, const Place& p, const Shape& s,
                              int query, int key, Tiles<C>& t) {
  const auto queries = source(in.q, p.q0, p.head, query, p.nq, s, in.quick);
  const auto keys = source(in.k, p.k0, p.head, key, p.nk, s, in.quick);
  const auto upper = source(in.d_o, p.q0, p.head, query, p.nq, s, in.quick);
  const auto values = source(in.v, p.k0, p.head, key, p.nk, s, in.quick);
  products(x, kByQuery ? queries : keys, kByQuery ? keys : queries, t);
  products(y, kByQuery ? upper : values, kByQuery ? values : upper, t);
#pragma unroll
  for (int outer = 0; outer < 4; ++outer) {
#pragma unroll
    for (int inner = 0; inner < 4; ++inner) {
      // A query's numbers are read once for its four keys.
      const int i = kByQuery ? outer : inner;
      const int j = kByQuery ? inner : outer;
      const int a = 4 * thread_y() + i;
      const int b = thread_x() + j * kSide;
      const int query_at = query + (kByQuery ? a : b);
      const int key_at = key + (kByQuery ? b : a);
      C weight = 0;
      C slope = 0;
      if (sees(p, s.causal, query_at, key_at)) {
        const int64_t at = p.head * s.lse_stride + p.q0 + query_at;
        C score = x[i][j] * in.scale;
        if (kBias) score += *in.bias.at(p.head, query_at, key_at);
        weight = exp_of(score - in.lse[at]);
        slope = weight * (y[i][j] - in.delta[at]);
      }
      x[i][j] = weight;
      y[i][j] = slope;
    }
  }
}

/// A block computes 64 queries' rows of up to 64 columns of dq over all their keys. It reads q, k, v and d_o once per
/// tile.
template <bool kBias, class T, class C = Compute<T>>
__global__ void __launch_bounds__(kThreads, kBlocks<C, kBias>) grad_queries_kernel(Inputs<T> in, Rows<T> dq, Shape s) {
  const Place p = place_of(s);
  const auto [first, column] = corner_of(p, s.width);
  if (first >= p.nq) return;
  GPU_DYNAMIC_SHARED(Tiles<C>, shared);
  Tiles<C>& t = *shared;
  C out[4][4] = {};
  const int seen = keys_seen(p, s.causal, first);
  for (int key = 0; key < seen; key += kTile) {
    C x[4][4];
    C y[4][4];
    slopes<true, kBias>(x, y, in, p, s, first, key, t);
    add_weighted(out, y, p.nq - first, source(in.k, p.k0, p.head, key, p.nk, s, in.quick), column, t);
  }
  const C factor[4] = {in.scale, in.scale, in.scale, in.scale};
  store_rows(out, factor, dq, p.q0, p.head, first, p.nq, column, s.width, in.quick);
}

/// A block computes 64 keys' rows of up to 64 columns of dk and dv over all queries that see them. It reads q and d_o
/// twice, k and v once per tile.
template <bool kBias, class T, class C = Compute<T>>
__global__ void __launch_bounds__(kThreads, kBlocks<C, kBias>)
    grad_keys_kernel(Inputs<T> in, Rows<T> dk, Rows<T> dv, Shape s) {
  const Place p = place_of(s);
  const auto [first, column] = corner_of(p, s.width);
  if (first >= p.nk) return;
  GPU_DYNAMIC_SHARED(Tiles<C>, shared);
  Tiles<C>& t = *shared;
  C out_k[4][4] = {};
  C out_v[4][4] = {};
  for (int query = s.causal ? first : 0; query < p.nq; query += kTile) {
    C x[4][4];
    C y[4][4];
    slopes<false, kBias>(x, y, in, p, s, query, first, t);
    add_weighted(out_v, x, p.nk - first, source(in.d_o, p.q0, p.head, query, p.nq, s, in.quick), column, t);
    add_weighted(out_k, y, p.nk - first, source(in.q, p.q0, p.head, query, p.nq, s, in.quick), column, t);
  }
  const C scale[4] = {in.scale, in.scale, in.scale, in.scale};
  const C one[4] = {1, 1, 1, 1};
  store_rows(out_k, scale, dk, p.k0, p.head, first, p.nk, column, s.width, in.quick);
  store_rows(out_v, one, dv, p.k0, p.head, first, p.nk, column, s.width, in.quick);
}

/// A block computes a tile of dbias of one head: 64 queries by 64 keys, summed over the segments in their order.
template <class T, class C = Compute<T>>
__global__ void __launch_bounds__(kThreads, kBlocks<C, true>)
    grad_bias_kernel(Inputs<T> in, Bias<C> dbias, int64_t segments, int max_q, int max_k, bool accumulate, Shape s) {
  GPU_DYNAMIC_SHARED(Tiles<C>, shared);
  Tiles<C>& t = *shared;
  const int tiles_k = (max_k + kTile - 1) / kTile;
  const int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(s.heads));
  const int tile = static_cast<int>(blockIdx.x / static_cast<unsigned>(s.heads));
  const int query = tile / tiles_k * kTile;
  const int key = tile % tiles_k * kTile;
  C sum[4][4] = {};
  for (int64_t segment = 0; segment < segments; ++segment) {
    const Place p = segment_at(s, segment, head, tile);
    if (query >= p.nq || key >= keys_seen(p, s.causal, query)) continue;
    C x[4][4];
    C y[4][4];
    slopes<true, true>(x, y, in, p, s, query, key, t);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[i][j] += y[i][j];
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int a = query + 4 * thread_y() + i;
      const int b = key + thread_x() + j * kSide;
      if (a < max_q && b < max_k) put(dbias.at(head, a, b), sum[i][j], accumulate);
    }
  }
}

/// Whether all operands allow accesses of four elements.
template <class T>
bool all_quick(std::initializer_list<const View*> views) {
  constexpr size_t kBytes = std::min<size_t>(16, 4 * sizeof(T));
  return std::ranges::all_of(views, [](const View* v) { return aligned(*v, kBytes); });
}
template <class T, class Args>
Inputs<T> inputs_of(const Args& a) {
  using C = Compute<T>;
  return {.q = rows_of<const T>(a.q),
          .k = rows_of<const T>(a.k),
          .v = rows_of<const T>(a.v),
          .d_o = {},
          .bias = bias_of<const C>(a.bias),
          .lse = nullptr,
          .delta = nullptr,
          .scale = static_cast<C>(a.scale),
          .quick = false};
}
/// Blocks of a segment: its tiles of rows times the columns of a head.
int64_t tiles_of(int64_t longest, int64_t width) { return blocks_of(longest, kTile) * blocks_of(width, kColumns); }

template <class T, bool kBias>
void forward_as(Context& context, const AttentionArgs& a) {
  using C = Compute<T>;
  Inputs<T> in = inputs_of<T>(a);
  in.quick = all_quick<T>({&a.q, &a.k, &a.v, &a.o});
  launch_tiles(shape_of(a), a.segments_q.count, tiles_of(a.segments_q.max_len, a.q.size(2)),
               [&](dim3 blocks, const Shape& s) {
                 GPU_LAUNCH((forward_kernel<kBias, T>), blocks, dim3(kThreads), sizeof(Tiles<C>), stream_of(context),
                            in, rows_of<T>(a.o), a.lse.data<C>(), s);
               });
}

template <class T, bool kBias>
void backward_as(Context& context, const AttentionGradArgs& a) {
  using C = Compute<T>;
  const Shape shape = shape_of(a);
  const int64_t rows = a.q.size(0);
  const int64_t width = a.q.size(2);
  const Scratch delta(context, static_cast<size_t>(a.lse.size(0) * a.lse.stride(0)) * sizeof(C));
  Inputs<T> in = inputs_of<T>(a);
  in.d_o = rows_of<const T>(a.d_o);
  in.lse = a.lse.data<const C>();
  in.delta = delta.as<const C>();
  in.quick = all_quick<T>({&a.q, &a.k, &a.v, &a.d_o, &a.dq, &a.dk, &a.dv});
  if (rows * shape.heads > 0) {
    GPU_LAUNCH((row_products_kernel<T>), dim3(extent(blocks_of(rows * shape.heads, kThreads / kWarp))), dim3(kThreads),
               0, stream_of(context), rows_of<const T>(a.o), in.d_o, delta.as<C>(), rows, shape);
  }
  launch_tiles(shape, a.segments_q.count, tiles_of(a.segments_q.max_len, width), [&](dim3 blocks, const Shape& s) {
    GPU_LAUNCH((grad_queries_kernel<kBias, T>), blocks, dim3(kThreads), sizeof(Tiles<C>), stream_of(context), in,
               rows_of<T>(a.dq), s);
  });
  launch_tiles(shape, a.segments_kv.count, tiles_of(a.segments_kv.max_len, width), [&](dim3 blocks, const Shape& s) {
    GPU_LAUNCH((grad_keys_kernel<kBias, T>), blocks, dim3(kThreads), sizeof(Tiles<C>), stream_of(context), in,
               rows_of<T>(a.dk), rows_of<T>(a.dv), s);
  });
  if (!a.dbias) return;
  const int64_t tiles = blocks_of(a.dbias.size(1), kTile) * blocks_of(a.dbias.size(2), kTile);
  if (tiles * shape.heads == 0) return;
  GPU_LAUNCH((grad_bias_kernel<T>), dim3(extent(tiles * shape.heads)), dim3(kThreads), sizeof(Tiles<C>),
             stream_of(context), in, bias_of<C>(a.dbias), a.segments_q.count, static_cast<int>(a.dbias.size(1)),
             static_cast<int>(a.dbias.size(2)), a.bias_mode == GradMode::accumulate, shape);
}

}  // namespace

void forward_wide(Context& context, const AttentionArgs& a) {
  by_type(a.q.dtype, [&](auto zero) {
    using T = decltype(zero);
    a.bias ? forward_as<T, true>(context, a) : forward_as<T, false>(context, a);
  });
}
void backward_wide(Context& context, const AttentionGradArgs& a) {
  by_type(a.q.dtype, [&](auto zero) {
    using T = decltype(zero);
    a.bias ? backward_as<T, true>(context, a) : backward_as<T, false>(context, a);
  });
}

}  // namespace tessera::cuda::attention
