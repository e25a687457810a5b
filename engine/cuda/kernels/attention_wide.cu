// Attention by FMA: f32, f64, and bf16 with a bias or with rows that the fragments of attention.cu do not take. A head
// wider than 64 has one block per 64 columns of its results, each with scores of its own.
#include "engine/cuda/kernels/attention_tiles.h"
#include "engine/runtime/context.h"

namespace tessera::cuda::attention {
namespace {

/// Blocks on a multiprocessor: two where the registers suffice.
template <class C, bool kBias>
constexpr int kBlocks = sizeof(C) == 8 || kBias ? 1 : 2;

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
  const int64_t level_at = p.head * s.lse_stride + p.q0 + query;
  // The numbers of a row's query stand in shared memory, where they need no registers over the loop. They are put there
  // between the products, whose barriers part this from earlier and later reads.
  if (kByQuery && threadIdx.x < 2 * kTile) {
    const int i = static_cast<int>(threadIdx.x) % kTile;
    const C* const from = threadIdx.x < kTile ? in.lse : in.delta;
    t.levels[threadIdx.x / kTile][i] = query + i < p.nq ? from[level_at + i] : 0;
  }
  products(y, kByQuery ? upper : values, kByQuery ? values : upper, t);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int a = 4 * thread_y() + i;
      const int b = thread_x() + j * kSide;
      const int own_query = kByQuery ? a : b;
      const int own_key = key + (kByQuery ? b : a);
      const bool visible = sees(p, s.causal, query + own_query, own_key);
      C weight = 0;
      C slope = 0;
      if (visible) {
        C score = x[i][j] * in.scale;
        if (kBias) score += *in.bias.at(p.head, query + own_query, own_key);
        weight = exp_of(score - (kByQuery ? t.levels[0][own_query] : in.lse[level_at + own_query]));
        slope = weight * (y[i][j] - (kByQuery ? t.levels[1][own_query] : in.delta[level_at + own_query]));
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
