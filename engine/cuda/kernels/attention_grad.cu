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
  const int some = keys_of_some(p, s.causal, mine);
  const int all = keys_of_all(p, s.causal, mine);
  const int row = mine + lane_of() / 4;
  float product = 0;
  const int product_row = mine + lane_of() / 2;
  if (product_row < p.nq) {
    product = row_product(o.at(p.q0 + product_row, p.head), d_o.at(p.q0 + product_row, p.head), s.width);
  }
  product += __shfl_xor_sync(kFullMask, product, 1);
  if (lane_of() % 2 == 0 && product_row < p.nq) delta[p.head * s.lse_stride + p.q0 + product_row] = product;
  float log_sum[2];
  float level[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    level[h] = __shfl_sync(kFullMask, product, (lane_of() / 4 + 8 * h) * 2);
    log_sum[h] = row + 8 * h < p.nq ? lse[p.head * s.lse_stride + p.q0 + row + 8 * h] * kLog2e : 0;
  }

  uint32_t left[kWidth / 16][4];
  float out[kWidth / 8][4] = {};
  const float scale2 = scale * kLog2e;
  const auto step = [&](int b, auto whole) {
    constexpr bool kWhole = decltype(whole)::value;
    const bfloat16* const k_tile = keys + b % 2 * 2 * kPart;
    const int count = some - b * kSlopeKeys;
    float x[kSlopeKeys / 8][4] = {};
    float y[kSlopeKeys / 8][4] = {};
    times_rows<kWidth, kWhole>(x, left, k_tile, count);
    times_rows<kWidth, kWhole>(y, own_slopes, k_tile + kPart, count);
    const int from = b * kSlopeKeys + lane_of() % 4 * 2;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int limit = (s.causal ? min(p.nk, row + 8 * h + 1) : p.nk) - from;
#pragma unroll
      for (int n = 0; n < kSlopeKeys / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& w = x[n][2 * h + e];
          const bool seen = kWhole || n * 8 + e < limit;
          w = seen ? exp2_of(fmaf(w, scale2, -log_sum[h])) * (y[n][2 * h + e] - level[h]) : 0;
        }
      }
    }
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
  bfloat16* const queries = values + rows * kPitch<kWidth>;             // [2][q, d_o]
  float* const levels = reinterpret_cast<float*>(queries + 4 * kPart);  // [2][log-sum, delta][kQueries]
  bfloat16* const own_keys = shared + warp_of() * kRows * kPitch<kWidth>;
  bfloat16* const own_values = values + warp_of() * kRows * kPitch<kWidth>;
  const bfloat16* const q_rows = q.at(p.q0, p.head);
  const bfloat16* const d_rows = d_o.at(p.q0, p.head);
  // The two numbers of a query pass through a register, so that their loads run beside the products. A block has
  // at least 2 · kQueries threads.
  const int slot = static_cast<int>(threadIdx.x);
  const float* const level_rows = (slot < kQueries ? lse : delta) + p.head * s.lse_stride + p.q0 + slot % kQueries;
  float staged = 0;
  const auto fetch = [&](int b) {
    load_rows<kWidth>(queries + b % 2 * 2 * kPart, kPart, q_rows, q.row_stride, d_rows, d_o.row_stride, b * kQueries,
                      kQueries, p.nq, s.width);
    if (slot < 2 * kQueries && b * kQueries + slot % kQueries < p.nq) staged = level_rows[b * kQueries];
  };
  const auto put_levels = [&](int b) {
    if (slot < 2 * kQueries) levels[b % 2 * 2 * kQueries + slot] = slot < kQueries ? staged * kLog2e : staged;
  };
  const int begin = s.causal ? first / kQueries : 0;
  const int end = (p.nq + kQueries - 1) / kQueries;
  load_rows<kWidth>(shared, rows * kPitch<kWidth>, k.at(p.k0, p.head), k.row_stride, v.at(p.k0, p.head), v.row_stride,
                    first, rows, p.nk, s.width);
  if (begin < end) {
    fetch(begin);
    put_levels(begin);
  }
  cp_async_commit();

  const int mine = first + warp_of() * kRows;
  const int row = mine + lane_of() / 4;
  float out_k[kWidth / 8][4] = {};
  float out_v[kWidth / 8][4] = {};
  const float scale2 = scale * kLog2e;
  // One version serves whole and partial steps: two of them need too many registers.
  const auto step = [&](int b, bool whole) {
    const bfloat16* const q_tile = queries + b % 2 * 2 * kPart;
    const bfloat16* const d_tile = q_tile + kPart;
    const float* const level = levels + b % 2 * 2 * kQueries + lane_of() % 4 * 2;
    const int count = p.nq - b * kQueries;
    float x[kQueries / 8][4] = {};
    times_rows<kWidth, false>(x, own_keys, q_tile, count);
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) x[n][e] = exp2_of(fmaf(x[n][e], scale2, -level[n * 8 + e % 2]));
    }
    if (!whole) {
      const int from = b * kQueries + lane_of() % 4 * 2;
#pragma unroll
      for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int query = from + n * 8 + e % 2;
          if (query >= p.nq || (s.causal && query < row + e / 2 * 8)) x[n][e] = 0;
        }
      }
    }
    add_weighted<kWidth, false>(out_v, x, d_tile, count);
    // Half of the slopes at a time, because all of them need too many registers.
#pragma unroll
    for (int n = 0; n < kQueries / 8; n += 2) {
      float y[2][4] = {};
      times_rows<kWidth, false>(y, own_values, d_tile + n * 8 * kPitch<kWidth>, count - n * 8);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        float& slope = y[e / 4][e % 4];
        slope = x[n + e / 4][e % 4] * (slope - level[kQueries + (n + e / 4) * 8 + e % 2]);
      }
      add_weighted<kWidth, false>(out_k, y, q_tile + n * 8 * kPitch<kWidth>, count - n * 8);
    }
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
    if (b + 1 < end) put_levels(b + 1);
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
