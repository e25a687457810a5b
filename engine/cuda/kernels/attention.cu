// Attention in bf16 on tensor cores, forward. A block holds up to eight warps of one head of one segment. What a row
// gives depends on its own segment alone, not on how rows are shared out over warps and blocks.
#include "engine/cuda/kernels/attention_fragments.h"
#include "engine/cuda/tables.h"

namespace tessera::cuda {
namespace attention {
namespace {

/// The largest product and the sum of weights so far, of rows lane / 4 and lane / 4 + 8.
struct Running {
  float top[2] = {kBelowEveryScore, kBelowEveryScore};
  float sum[2] = {};  // of this lane's columns
};

/// Row h of x sees the columns below limit[h].
template <int N>
__device__ inline void hide(float (&x)[N][4], const int (&limit)[2]) {
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (n * 8 + e % 2 >= limit[e / 2]) x[n][e] = -INFINITY;
    }
  }
}

/// Turns products into weights 2^(scale · (x − top)) and rescales the sums so far.
template <int N, int kColumns>
__device__ inline void soften(float (&x)[N][4], float (&out)[kColumns][4], Running& run, float scale) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float top = run.top[h];
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        top = fmaxf(top, x[n][2 * h + e]);
      }
    }
    top = quad_max(top);
    const float before = exp2_of((run.top[h] - top) * scale);
    const float shift = -top * scale;
    float sum = 0;
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& y = x[n][2 * h + e];
        y = exp2_of(fmaf(y, scale, shift));
        sum += y;
      }
    }
    run.sum[h] = fmaf(run.sum[h], before, sum);
    run.top[h] = top;
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      out[n][2 * h] *= before;
      out[n][2 * h + 1] *= before;
    }
  }
}

constexpr int kKeys = 64;  // in a buffer of the forward

/// A block computes up to 128 rows of o and their log-sum-exp, over all keys of the segment. It reads q, k, v and
/// writes o and lse once; a second block of the same head finds k and v in the L2 cache.
template <int kWidth>
__global__ void __launch_bounds__(kMaxThreads, kBlocks<kWidth>)
    forward_kernel(Rows<const bfloat16> q, Rows<const bfloat16> k, Rows<const bfloat16> v, Rows<bfloat16> o,
                   float* __restrict__ lse, float scale, Shape s) {
  const Place p = place_of(s);
  const int rows = rows_of_block();
  const int first = p.tile * rows;
  if (first >= p.nq) return;
  GPU_DYNAMIC_SHARED(bfloat16, shared);
  constexpr int kPart = kKeys * kPitch<kWidth>;
  bfloat16* const keys = shared + rows * kPitch<kWidth>;  // [2][keys, values]
  bfloat16* const own = shared + warp_of() * kRows * kPitch<kWidth>;
  const bfloat16* const k_rows = k.at(p.k0, p.head);
  const bfloat16* const v_rows = v.at(p.k0, p.head);
  const auto fetch = [&](int b) {
    load_rows<kWidth>(keys + b % 2 * 2 * kPart, kPart, k_rows, k.row_stride, v_rows, v.row_stride, b * kKeys, kKeys,
                      p.nk, s.width);
  };
  load_rows<kWidth>(shared, 0, q.at(p.q0, p.head), q.row_stride, nullptr, 0, first, rows, p.nq, s.width);
  fetch(0);
  cp_async_commit();

  const int mine = first + warp_of() * kRows;
  const auto [some, all] = keys_of(p, s.causal, mine);
  const int row = mine + lane_of() / 4;
  uint32_t left[kWidth / 16][4];
  float out[kWidth / 8][4] = {};
  Running run;
  const auto step = [&](int b, bool whole) {
    float x[kKeys / 8][4] = {};
    times_rows<kWidth, false>(x, left, keys + b % 2 * 2 * kPart, some - b * kKeys);
    const int from = b * kKeys + lane_of() % 4 * 2;
    const int limit[2] = {(s.causal ? min(p.nk, row + 1) : p.nk) - from, (s.causal ? min(p.nk, row + 9) : p.nk) - from};
    if (!whole) hide(x, limit);
    soften(x, out, run, scale * kLog2e);
    add_weighted<kWidth, false>(out, x, keys + (b % 2 * 2 + 1) * kPart, some - b * kKeys);
  };
  const int blocks = ((s.causal ? min(p.nk, first + rows) : p.nk) + kKeys - 1) / kKeys;
  for (int b = 0; b < blocks; ++b) {
    cp_async_wait<0>();
    __syncthreads();
    if (b == 0) load_left<kWidth>(left, own);
    if (b + 1 < blocks) fetch(b + 1);
    cp_async_commit();
    if (b * kKeys < some) step(b, (b + 1) * kKeys <= all);
  }
  cp_async_wait<0>();
  __syncthreads();

  const Place again = place_of(s);  // rather than in registers during the loop
  float factor[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float total = quad_sum(run.sum[h]);
    factor[h] = total > 0 ? 1 / total : 0;
    if (lane_of() % 4 == 0 && row + 8 * h < again.nq) {
      lse[again.head * s.lse_stride + again.q0 + row + 8 * h] =
          total > 0 ? fmaf(run.top[h], scale, logf(total)) : -INFINITY;
    }
  }
  store_rows<kWidth>(out, factor[0], factor[1], own, o.at(again.q0 + mine, again.head), o.row_stride,
                     rows_left(again.nq, mine), s.width);
}

void forward(Context& context, const AttentionArgs& a) {
  if (!suits(a, {&a.q, &a.k, &a.v, &a.o})) return forward_wide(context, a);
  const Split split(a.segments_q.max_len);
  by_width(a.q.size(2), [&](auto constant) {
    constexpr int kWidth = decltype(constant)::value;
    launch_tiles(shape_of(a), a.segments_q.count, split.tiles, [&](dim3 blocks, const Shape& s) {
      GPU_LAUNCH((forward_kernel<kWidth>), blocks, split.threads(), bytes_of<kWidth>(split.rows() + 4 * kKeys),
                 stream_of(context), rows_of<const bfloat16>(a.q), rows_of<const bfloat16>(a.k),
                 rows_of<const bfloat16>(a.v), rows_of<bfloat16>(a.o), a.lse.data<float>(), static_cast<float>(a.scale),
                 s);
    });
  });
}

void backward(Context& context, const AttentionGradArgs& a) {
  if (!suits(a, {&a.q, &a.k, &a.v, &a.o, &a.d_o, &a.dq, &a.dk, &a.dv})) return backward_wide(context, a);
  backward_fragments(context, a);
}

}  // namespace
}  // namespace attention

const AttentionKernels kAttentionKernels{.forward = attention::forward, .backward = attention::backward};

}  // namespace tessera::cuda
