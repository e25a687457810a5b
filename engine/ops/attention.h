#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// Fused attention of ragged segments: o = softmax(scale · q kᵀ + bias) v for each segment and head.
/// q [rows_q, H, d], k and v [rows_kv, H, d], any row and head strides with contiguous d (slices of a fused qkv); o
/// [rows_q, H, d] likewise. The queries of segment b see the keys of segment b only. causal: query i of a segment sees
/// keys ≤ i, and the query and key segments must be equal. bias (optional, f32 or f64) [H, max_q, max_k]. lse [H,
/// rows_q] f32 (f64): the log-sum-exp of a query's scores. q, k, v, o share one dtype: f32, bf16, f64. In bf16 scores,
/// probabilities and sums are f32; kernels that multiply pairs of bf16 round probabilities and their slopes as a side
/// of a product. Any d ≥ 1. A query whose segment has no keys gives zeros and lse = −inf.
struct AttentionArgs {
  View q, k, v, bias{};
  Segments segments_q, segments_kv;
  bool causal = false;
  double scale;
  View o, lse;
};
/// dq, dk, dv are overwritten; dbias (+)=, absent when not needed. Probabilities are recomputed from lse.
struct AttentionGradArgs {
  View q, k, v, bias{}, o, lse, d_o;
  Segments segments_q, segments_kv;
  bool causal = false;
  double scale;
  View dq, dk, dv, dbias{};
  GradMode bias_mode = GradMode::overwrite;
};

struct AttentionKernels {
  Kernel<AttentionArgs> forward;
  Kernel<AttentionGradArgs> backward;
};

struct AttentionOptions {
  SegmentTable segments_q, segments_kv;
  bool causal = false;
  double scale = 1.0;
  Tensor bias{};
};
struct AttentionResult {
  Tensor o;    // [rows_q, H, d] contiguous
  Tensor lse;  // [H, rows_q]
};
[[nodiscard]] AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const AttentionOptions& options);
struct AttentionGrads {
  Tensor dq, dk, dv;
  GradOut dbias{};
};
void attention_grad(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                    const AttentionResult& result, const Tensor& d_o, const AttentionGrads& grads);

}  // namespace tessera
