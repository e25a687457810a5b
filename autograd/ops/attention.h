#pragma once

#include "autograd/variable.h"
#include "engine/ops/attention.h"

namespace tessera::autograd {

struct AttentionInputs {
  int64_t heads = 1;
  SegmentTable segments_q, segments_kv{};
  bool causal = false;
  Var bias{};  // [H, max_q, max_k], optional
};

/// Self-attention on fused projections qkv [rows, 3·H·d] in the order q, k, v, each (head, d); scale d^−½. segments_kv
/// is ignored. Result [rows, H·d].
[[nodiscard]] Var self_attention(const Var& qkv, const AttentionInputs& inputs);
/// Queries q [rows_q, H·d] on keys and values kv [rows_kv, 2·H·d].
[[nodiscard]] Var cross_attention(const Var& q, const Var& kv, const AttentionInputs& inputs);

}  // namespace tessera::autograd
