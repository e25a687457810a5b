#include "nn/layers/transformer.h"

#include <cmath>
#include <memory>

#include "autograd/checkpoint.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/rows.h"

namespace tessera::nn {

TransformerBlock::Spec TransformerBlock::vision(int64_t width, int64_t heads) {
  Spec s;
  s.width = width;
  s.heads = heads;
  s.hidden = 4 * width;
  s.norm1 = "norm1";
  s.norm2 = "norm2";
  s.qkv_weight = "attn.qkv.weight";
  s.proj = "attn.proj";
  s.fc1 = "mlp.fc1";
  s.fc2 = "mlp.fc2";
  s.qkv_bias = {{"attn.q_bias", {width}, 0, zeros()}, {"attn.v_bias", {width}, 2 * width, zeros()}};
  s.qkv_init = xavier_uniform(width, 3 * width);
  s.proj_init = xavier_uniform(width, width);
  s.fc1_init = s.fc2_init = xavier_uniform(width, 4 * width);
  s.proj_bias_init = s.fc1_bias_init = s.fc2_bias_init = zeros();
  return s;
}

TransformerBlock::Spec TransformerBlock::text(int64_t width, int64_t heads, int64_t layers) {
  const double w = static_cast<double>(width);
  Spec s;
  s.width = width;
  s.heads = heads;
  s.hidden = 4 * width;
  s.eps = 1e-5;
  s.act = Act::quick_gelu;
  s.causal = true;
  s.norm1 = "ln_1";
  s.norm2 = "ln_2";
  s.qkv_weight = "attn.in_proj_weight";
  s.proj = "attn.out_proj";
  s.fc1 = "mlp.c_fc";
  s.fc2 = "mlp.c_proj";
  s.qkv_bias = {{"attn.in_proj_bias", {3 * width}, 0, zeros()}};
  s.qkv_init = normal(1.0 / std::sqrt(w));
  s.proj_init = s.fc2_init = normal(1.0 / std::sqrt(w * 2.0 * static_cast<double>(layers)));
  s.fc1_init = normal(1.0 / std::sqrt(2.0 * w));
  s.proj_bias_init = zeros();
  s.fc1_bias_init = fan_in_uniform(width);
  s.fc2_bias_init = fan_in_uniform(4 * width);
  return s;
}

TransformerBlock::TransformerBlock(ParameterStore& store, const std::string& prefix, const Spec& spec)
    : width_(spec.width), heads_(spec.heads), act_(spec.act), causal_(spec.causal) {
  const auto name = [&](const std::string& part) { return prefix + "." + part; };
  norm1_ = LayerNorm(store, name(spec.norm1), width_, spec.eps);
  qkv_weight_ = &store.add(name(spec.qkv_weight), {3 * width_, width_}, spec.qkv_init);
  std::vector<ParameterStore::Part> bias = spec.qkv_bias;
  for (auto& part : bias) part.name = name(part.name);
  qkv_bias_ = &store.add_fused(name("attn.qkv_bias"), {3 * width_}, bias);
  proj_ = Linear(store, name(spec.proj), width_, width_, spec.proj_init, spec.proj_bias_init);
  norm2_ = LayerNorm(store, name(spec.norm2), width_, spec.eps);
  fc1_ = Linear(store, name(spec.fc1), width_, spec.hidden, spec.fc1_init, spec.fc1_bias_init);
  fc2_ = Linear(store, name(spec.fc2), spec.hidden, width_, spec.fc2_init, spec.fc2_bias_init);
}

Var TransformerBlock::attend(const Var& normed, const BlockInputs& in) const {
  autograd::LinearInputs project;
  project.bias = use(*qkv_bias_);
  project.out_dtype = in.precision.compute;
  autograd::AttentionInputs attention;
  attention.heads = heads_;
  attention.segments_q = in.segments;
  attention.causal = causal_ && in.queries == nullptr;
  if (in.queries == nullptr) {
    return autograd::self_attention(autograd::linear(normed, use(*qkv_weight_), project), attention);
  }
  // Keys and values are computed for every row, queries for the chosen rows: two parts of one fused projection.
  project.rows = {width_, 2 * width_};
  const Var kv = autograd::linear(normed, use(*qkv_weight_), project);
  project.rows = {0, width_};
  const Var rows = autograd::gather_rows(normed, in.queries->index, {.out_dtype = in.precision.compute});
  const Var q = autograd::linear(rows, use(*qkv_weight_), project);
  attention.segments_q = in.queries->segments;
  attention.segments_kv = in.segments;
  return autograd::cross_attention(q, kv, attention);
}

Var TransformerBlock::operator()(const Var& x, const BlockInputs& in) const {
  const Var attended = attend(norm1_(x, in.precision.compute), in);
  const SegmentTable& segments = in.queries != nullptr ? in.queries->segments : in.segments;

  autograd::LinearInputs out;
  out.residual =
      in.queries == nullptr ? x : autograd::gather_rows(x, in.queries->index, {.out_dtype = in.precision.param});
  out.row_scale = in.attention_scale;
  out.segments = segments;
  out.out_dtype = in.precision.param;
  const Var h = proj_(attended, out);

  autograd::MlpInputs mlp;
  mlp.w1 = use(*fc1_.weight);
  mlp.b1 = use(*fc1_.bias);
  mlp.w2 = use(*fc2_.weight);
  mlp.b2 = use(*fc2_.bias);
  mlp.act = act_;
  mlp.residual = h;
  mlp.row_scale = in.mlp_scale;
  mlp.segments = segments;
  mlp.out_dtype = in.precision.param;
  return autograd::mlp(norm2_(h, in.precision.compute), mlp);
}

Var run_blocks(const std::vector<TransformerBlock>& blocks, Var x, const BlockInputs& inputs, bool checkpointing,
               std::span<const BranchScales> scales) {
  for (size_t i = 0; i < blocks.size(); ++i) {
    BlockInputs in = inputs;
    if (!scales.empty()) {
      in.attention_scale = scales[i].attention;
      in.mlp_scale = scales[i].mlp;
    }
    if (i + 1 != blocks.size()) in.queries = nullptr;
    if (!checkpointing) {
      x = blocks[i](x, in);
      continue;
    }
    // Captured by value: the function runs again after this frame is gone.
    const std::shared_ptr<const QueryRows> queries =
        in.queries != nullptr ? std::make_shared<const QueryRows>(*in.queries) : nullptr;
    in.queries = nullptr;
    x = autograd::checkpoint(
        [block = &blocks[i], in, queries](const std::vector<Var>& v) {
          BlockInputs again = in;
          again.queries = queries.get();
          return (*block)(v[0], again);
        },
        {x});
  }
  return x;
}

}  // namespace tessera::nn
