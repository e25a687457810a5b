#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/ops/rows.h"
#include "nn/layers/linear.h"
#include "nn/precision.h"

namespace tessera::nn {

/// The rows that a block computes when not all are needed: their positions in the input and their number per sample.
struct QueryRows {
  RowIndex index;
  SegmentTable segments;
};

/// What a block needs besides its input.
struct BlockInputs {
  SegmentTable segments;  // of the input rows, one per sample
  Precision precision;
  // If set, only these rows are computed and returned. They see every row of their segment, so a causal block may
  // compute only the last row of each segment.
  const QueryRows* queries = nullptr;
  Tensor attention_scale;  // [samples], drop path factors of the two branches; absent means 1
  Tensor mlp_scale;
};

/// A pre-norm transformer block on rows [R, width]: x += Attention(LN₁(x)), x += MLP(LN₂(x)). The residual stream keeps
/// the parameters' type, the branches compute in `precision.compute`.
class TransformerBlock {
 public:
  /// What differs between the vision block and the text block: names, initial values, activation, epsilon and mask.
  struct Spec {
    int64_t width = 0;
    int64_t heads = 0;
    int64_t hidden = 0;
    double eps = 1e-6;
    Act act = Act::gelu_erf;
    bool causal = false;
    std::string norm1, norm2, qkv_weight, proj, fc1, fc2;  // names below the prefix
    std::vector<ParameterStore::Part> qkv_bias;  // entries of the fused bias [3·width]; names below the prefix
    Init qkv_init, proj_init, fc1_init, fc2_init, proj_bias_init, fc1_bias_init, fc2_bias_init;
  };
  /// Names of timm and BEiT, erf GELU, eps 1e-6, Xavier weights, and a key bias fixed at zero between q_bias and
  /// v_bias.
  [[nodiscard]] static Spec vision(int64_t width, int64_t heads);
  /// CLIP's names and initial values in a tower of `layers` blocks, QuickGELU, eps 1e-5, causal.
  [[nodiscard]] static Spec text(int64_t width, int64_t heads, int64_t layers);

  TransformerBlock(ParameterStore& store, const std::string& prefix, const Spec& spec);

  [[nodiscard]] Var operator()(const Var& x, const BlockInputs& inputs) const;

 private:
  [[nodiscard]] Var attend(const Var& normed, const BlockInputs& inputs) const;

  int64_t width_, heads_;
  Act act_;
  bool causal_;
  LayerNorm norm1_, norm2_;
  Parameter* qkv_weight_;
  Parameter* qkv_bias_;
  Linear proj_, fc1_, fc2_;
};

/// Drop path factors [samples] of a block's two branches: 0 for a sample that skips the branch, otherwise
/// 1 / (1 − rate).
struct BranchScales {
  Tensor attention, mlp;
};

/// Runs blocks one after the other. With `checkpointing`, only their inputs are kept for the backward. `inputs.queries`
/// applies to the last block alone. `scales` has one entry per block, or none.
[[nodiscard]] Var run_blocks(const std::vector<TransformerBlock>& blocks, Var x, const BlockInputs& inputs,
                             bool checkpointing, std::span<const BranchScales> scales = {});

}  // namespace tessera::nn
