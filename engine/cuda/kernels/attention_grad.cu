// Attention in bf16 on tensor cores, backward, in two passes: one for dq, and one for dk and dv. So every sum has one
// order and no block needs another's memory; the price is that scores are computed twice.
#include "engine/cuda/kernels/attention_fragments.h"
#include "engine/runtime/context.h"

namespace tessera::cuda::attention {
namespace {

__device__ inline float dot_pairs(uint32_t a, uint32_t b, float sum) {
  return fmaf(bf16_high(a), bf16_high(b), fmaf(bf16_low(a), bf16_low(b), sum));
}
/// Σ o · d_o of row lane / 2 of a warp's 16, from global memory: two lanes read 32 adjacent bytes.
__device__ inline float row_product(const bfloat16* o, const bfloat16* d_o, int width) {
  float sum = 0;
#pragma unroll 4
  for (int c = lane_of() % 2 * 8; c < width; c += 16) {
    const uint4 a = *reinterpret_cast<const uint4*>(o + c);
    const uint4 b = *reinterpret_cast<const uint4*>(d_o + c);
    sum = dot_pairs(a.x, b.x, dot_pairs(a.y, b.y, dot_pairs(a.z, b.z, dot_pairs(a.w, b.w, sum))));
  }
  return sum;
}

constexpr int kSlopeKeys = 32;  // in a buffer of the dq pass

/// The log-sum-exp, in powers of 2, and Σ o · d_o of rows lane / 4 and lane / 4 + 8 of a warp.
struct Levels {
  float log_sum[2];
  float product[2];
};
/// Of the warp's rows from `first` on. Stores the products for the other pass.
__device__ inline Levels levels_of(const Place& p, int first, const Rows<const bfloat16>& o,
                                   const Rows<const bfloat16>& d_o, const float* lse, float* delta, const Shape& s) {
  const int64_t at = p.head * s.lse_stride + p.q0 + first;
  const int own = lane_of() / 2;
  const int64_t row = p.q0 + first + own;
  float product = first + own < p.nq ? row_product(o.at(row, p.head), d_o.at(row, p.head), s.width) : 0;
  product += __shfl_xor_sync(kFullMask, product, 1);
  if (lane_of() % 2 == 0 && first + own < p.nq) delta[at + own] = product;
  Levels levels;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int i = lane_of() / 4 + 8 * h;
    levels.product[h] = __shfl_sync(kFullMask, product, 2 * i);
    levels.log_sum[h] = first + i < p.nq ? lse[at + i] * kLog2e : 0;
  }
  return levels;
}
/// Turns the products q · k in x and d_o · v in y into the slopes of scores in x. Row h sees the columns below
/// limit[h].
template <bool kWhole, int N>
__device__ inline void slopes_of_rows(float (&x)[N][4], const float (&y)[N][4], const Levels& levels, float scale,
                                      const int (&limit)[2]) {
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int h = e / 2;
      const float slope = exp2_of(fmaf(x[n][e], scale, -levels.log_sum[h])) * (y[n][e] - levels.product[h]);
      x[n][e] = kWhole || n * 8 + e % 2 < limit[h] ? slope : 0;
    }
  }
}

/// A block computes up to 128 rows of dq over all keys of the segment, and Σ o · d_o of its rows in `delta` for the
/// other pass. It reads q, k, v, o, d_o and writes dq.
template <int kWidth>
__global__ void __launch_bounds__(kMaxThreads, kBlocks<kWidth>)
    grad_queries_kernel(Rows<const bfloat16> q, Rows<const bfloat16> k, Rows<const bfloat16> v, Rows<const bfloat16> o,
                        Rows<const bfloat16> d_o, const float* __restrict__ lse, float* __restrict__ delta,
                        Rows<bfloat16> dq, float scale, Shape s) {
  const Place p = place_of(s);
  const int rows = rows_of_block();
  const int first = p.tile * rows;
  if (first >= p.nq) return;
  GPU_DYNAMIC_SHARED(bfloat16, shared);
  constexpr int kPart = kSlopeKeys * kPitch<kWidth>;
  bfloat16* const slopes = shared + rows * kPitch<kWidth>;
  bfloat16* const keys = slopes + rows * kPitch<kWidth>;  // [2][keys, values]
  bfloat16* const own = shared + warp_of() * kRows * kPitch<kWidth>;
  const bfloat16* const own_slopes = slopes + warp_of() * kRows * kPitch<kWidth>;
  const bfloat16* const k_rows = k.at(p.k0, p.head);
  const bfloat16* const v_rows = v.at(p.k0, p.head);
  const auto fetch = [&](int b) {
    load_rows<kWidth>(keys + b % 2 * 2 * kPart, kPart, k_rows, k.row_stride, v_rows, v.row_stride, b * kSlopeKeys,
                      kSlopeKeys, p.nk, s.width);
  };
  load_rows<kWidth>(shared, rows * kPitch<kWidth>, q.at(p.q0, p.head), q.row_stride, d_o.at(p.q0, p.head),
                    d_o.row_stride, first, rows, p.nq, s.width);
  fetch(0);
  cp_async_commit();

  const int mine = first + warp_of() * kRows;
  const auto [some, all] = keys_of(p, s.causal, mine);
  const int row = mine + lane_of() / 4;
  const Levels levels = levels_of(p, mine, o, d_o, lse, delta, s);
  uint32_t left[kWidth / 16][4];
  float out[kWidth / 8][4] = {};
  const auto step = [&](int b, auto whole) {
    constexpr bool kWhole = decltype(whole)::value;
    const bfloat16* const k_tile = keys + b % 2 * 2 * kPart;
    const int count = some - b * kSlopeKeys;
    float x[kSlopeKeys / 8][4] = {};
    float y[kSlopeKeys / 8][4] = {};
    times_rows<kWidth, kWhole>(x, left, k_tile, count);
    times_rows<kWidth, kWhole>(y, own_slopes, k_tile + kPart, count);
    const int from = b * kSlopeKeys + lane_of() % 4 * 2;
    const int limit[2] = {(s.causal ? min(p.nk, row + 1) : p.nk) - from, (s.causal ? min(p.nk, row + 9) : p.nk) - from};
    slopes_of_rows<kWhole>(x, y, levels, scale * kLog2e, limit);
    add_weighted<kWidth, kWhole>(out, x, k_tile, count);
  };
  const int blocks = ((s.causal ? min(p.nk, first + rows) : p.nk) + kSlopeKeys - 1) / kSlopeKeys;
  for (int b = 0; b < blocks; ++b) {
    cp_async_wait<0>();
    __syncthreads();
    if (b == 0) load_left<kWidth>(left, own);
    if (b + 1 < blocks) fetch(b + 1);
    cp_async_commit();
    if ((b + 1) * kSlopeKeys <= all) {
      step(b, std::true_type());
    } else if (b * kSlopeKeys < some) {
      step(b, std::false_type());
    }
  }
  cp_async_wait<0>();
  __syncthreads();
  store_rows<kWidth>(out, scale, scale, own, dq.at(p.q0 + mine, p.head), dq.row_stride, rows_left(p.nq, mine), s.width);
}

constexpr int kQueries = 32;  // in a buffer of the dk and dv pass

/// The log-sum-exp, in powers of 2, and Σ o · d_o of the queries in two buffers: [2][2][kQueries] in shared memory.
/// They pass through a register, so that their loads run beside products. A block has at least 2 · kQueries threads.
class LevelBuffers {
 public:
  __device__ LevelBuffers(float* buffers, const float* lse, const float* delta, int queries)
      : buffers_(buffers), from_((slot() < kQueries ? lse : delta) + slot() % kQueries), queries_(queries) {}

  __device__ void fetch(int b) {
    if (slot() < 2 * kQueries && b * kQueries + slot() % kQueries < queries_) value_ = from_[b * kQueries];
  }
  __device__ void put(int b) const {
    if (slot() < 2 * kQueries) buffers_[b % 2 * 2 * kQueries + slot()] = slot() < kQueries ? value_ * kLog2e : value_;
  }
  __device__ const float* of(int b) const { return buffers_ + b % 2 * 2 * kQueries; }

 private:
  __device__ static int slot() { return static_cast<int>(threadIdx.x); }
  float* buffers_;
  const float* from_;
  int queries_;
  float value_ = 0;
};

/// Turns the products k · q in x into weights. `level` is the log-sum-exp of this lane's first query. Unless the step
/// is `whole`, this lane's query of column c counts for key h where first[h] ≤ c < last.
template <int N>
__device__ inline void weights_of_keys(float (&x)[N][4], const float* level, float scale, bool whole,
                                       const int (&first)[2], int last) {
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) x[n][e] = exp2_of(fmaf(x[n][e], scale, -level[n * 8 + e % 2]));
  }
  if (whole) return;
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int c = n * 8 + e % 2;
      if (c >= last || c < first[e / 2]) x[n][e] = 0;
    }
  }
}

/// A block computes up to 128 rows of dk and dv over all queries of the segment. It reads q, k, v, d_o, lse and delta
/// and writes dk and dv.
template <int kWidth>
__global__ void __launch_bounds__(kMaxThreads, kBlocks<kWidth>)
    grad_keys_kernel(Rows<const bfloat16> q, Rows<const bfloat16> k, Rows<const bfloat16> v, Rows<const bfloat16> d_o,
                     const float* __restrict__ lse, const float* __restrict__ delta, Rows<bfloat16> dk,
                     Rows<bfloat16> dv, float scale, Shape s) {
  const Place p = place_of(s);
  const int rows = rows_of_block();
  const int first = p.tile * rows;
  if (first >= p.nk) return;
  GPU_DYNAMIC_SHARED(bfloat16, shared);
  constexpr int kPart = kQueries * kPitch<kWidth>;
  bfloat16* const values = shared + rows * kPitch<kWidth>;
  bfloat16* const queries = values + rows * kPitch<kWidth>;  // [2][q, d_o], then levels
  bfloat16* const own_keys = shared + warp_of() * kRows * kPitch<kWidth>;
  bfloat16* const own_values = values + warp_of() * kRows * kPitch<kWidth>;
  const bfloat16* const q_rows = q.at(p.q0, p.head);
  const bfloat16* const d_rows = d_o.at(p.q0, p.head);
  const int64_t level_at = p.head * s.lse_stride + p.q0;
  LevelBuffers levels(reinterpret_cast<float*>(queries + 4 * kPart), lse + level_at, delta + level_at, p.nq);
  const auto fetch = [&](int b) {
    load_rows<kWidth>(queries + b % 2 * 2 * kPart, kPart, q_rows, q.row_stride, d_rows, d_o.row_stride, b * kQueries,
                      kQueries, p.nq, s.width);
    levels.fetch(b);
  };
  const int begin = s.causal ? first / kQueries : 0;
  const int end = (p.nq + kQueries - 1) / kQueries;
  load_rows<kWidth>(shared, rows * kPitch<kWidth>, k.at(p.k0, p.head), k.row_stride, v.at(p.k0, p.head), v.row_stride,
                    first, rows, p.nk, s.width);
  if (begin < end) {
    fetch(begin);
    levels.put(begin);
  }
  cp_async_commit();

  const int mine = first + warp_of() * kRows;
  float out_k[kWidth / 8][4] = {};
  float out_v[kWidth / 8][4] = {};
  // One version serves whole and partial steps: two of them need too many registers.
  const auto step = [&](int b, bool whole) {
    const bfloat16* const q_tile = queries + b % 2 * 2 * kPart;
    const bfloat16* const d_tile = q_tile + kPart;
    const float* const level = levels.of(b) + lane_of() % 4 * 2;
    const int count = p.nq - b * kQueries;
    float x[kQueries / 8][4] = {};
    times_rows<kWidth, false>(x, own_keys, q_tile, count);
    const int from = b * kQueries + lane_of() % 4 * 2;
    const int row = mine + lane_of() / 4 - from;
    const int first_seen[2] = {s.causal ? row : 0, s.causal ? row + 8 : 0};
    weights_of_keys(x, level, scale * kLog2e, whole, first_seen, p.nq - from);
    add_weighted<kWidth, false>(out_v, x, d_tile, count);
    float y[kQueries / 8][4] = {};
    times_rows<kWidth, false>(y, own_values, d_tile, count);
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) y[n][e] = x[n][e] * (y[n][e] - level[kQueries + n * 8 + e % 2]);
    }
    add_weighted<kWidth, false>(out_k, y, q_tile, count);
  };
  for (int b = begin; b < end; ++b) {
    cp_async_wait<0>();
    __syncthreads();
    if (b + 1 < end) fetch(b + 1);
    cp_async_commit();
    // Query i sees keys up to i: some of a warp's keys from its first key on, all of them from its last.
    if (mine < p.nk && (!s.causal || (b + 1) * kQueries > mine)) {
      step(b, (b + 1) * kQueries <= p.nq && (!s.causal || b * kQueries >= mine + kRows - 1));
    }
    if (b + 1 < end) levels.put(b + 1);
  }
  cp_async_wait<0>();
  __syncthreads();
  const Place again = place_of(s);  // rather than in registers during the loop
  const int left = rows_left(again.nk, mine);
  store_rows<kWidth>(out_k, scale, scale, own_keys, dk.at(again.k0 + mine, again.head), dk.row_stride, left, s.width);
  store_rows<kWidth>(out_v, 1, 1, own_values, dv.at(again.k0 + mine, again.head), dv.row_stride, left, s.width);
}

}  // namespace

void backward_fragments(Context& context, const AttentionGradArgs& a) {
  const Scratch delta(context, static_cast<size_t>(a.lse.size(0) * a.lse.stride(0)) * sizeof(float));
  const Split queries(a.segments_q.max_len);
  const Split keys(a.segments_kv.max_len);
  const auto q = rows_of<const bfloat16>(a.q);
  const auto k = rows_of<const bfloat16>(a.k);
  const auto v = rows_of<const bfloat16>(a.v);
  const auto d_o = rows_of<const bfloat16>(a.d_o);
  const auto* const lse = a.lse.data<const float>();
  const auto scale = static_cast<float>(a.scale);
  by_width(a.q.size(2), [&](auto constant) {
    constexpr int kWidth = decltype(constant)::value;
    launch_tiles(shape_of(a), a.segments_q.count, queries.tiles, [&](dim3 blocks, const Shape& s) {
      GPU_LAUNCH((grad_queries_kernel<kWidth>), blocks, queries.threads(),
                 bytes_of<kWidth>(2 * queries.rows() + 4 * kSlopeKeys), stream_of(context), q, k, v,
                 rows_of<const bfloat16>(a.o), d_o, lse, delta.as<float>(), rows_of<bfloat16>(a.dq), scale, s);
    });
    launch_tiles(shape_of(a), a.segments_kv.count, keys.tiles, [&](dim3 blocks, const Shape& s) {
      GPU_LAUNCH((grad_keys_kernel<kWidth>), blocks, keys.threads(),
                 bytes_of<kWidth>(2 * keys.rows() + 4 * kQueries) + 4 * kQueries * sizeof(float), stream_of(context), q,
                 k, v, d_o, lse, delta.as<const float>(), rows_of<bfloat16>(a.dk), rows_of<bfloat16>(a.dv), scale, s);
    });
  });
}

}  // namespace tessera::cuda::attention
