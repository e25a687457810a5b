#include "autograd/ops/attention.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/tape.h"
#include "engine/core/error.h"

namespace tessera::autograd {
namespace {

/// Part `index` of `parts` equal column groups of x [rows, parts·H·d], as [rows, H, d].
Tensor part(const Tensor& x, int64_t parts, int64_t index, int64_t heads) {
  const int64_t width = x.size(1) / parts;
  return x.reshape({x.size(0), parts * heads, width / heads}).slice(1, index * heads, heads);
}

void check_width(const Var& x, int64_t parts, int64_t heads) {
  if (x.value.rank() != 2 || heads < 1 || x.value.size(1) % (parts * heads) != 0) {
    throw ShapeError(fmt::format("attention: projections have shape {}, expected [rows, {} heads x {} x head dim]",
                                 to_string(x.shape()), heads, parts));
  }
}

AttentionOptions options_of(const AttentionInputs& in, int64_t head_dim) {
  return {.segments_q = in.segments_q,
          .segments_kv = in.segments_kv,
          .causal = in.causal,
          .scale = 1.0 / std::sqrt(static_cast<double>(head_dim)),
          .bias = in.bias.value};
}

class AttentionNode final : public Node {
 public:
  /// kv absent: q is a fused qkv.
  AttentionNode(const Var& q, const Var& kv, int64_t heads, Slot bias, AttentionOptions options, AttentionResult result)
      : q_(q), kv_(kv), heads_(heads), bias_(bias), options_(std::move(options)), result_(std::move(result)) {}
  [[nodiscard]] std::string_view name() const override { return "attention"; }
  [[nodiscard]] size_t saved_bytes() const override {
    return bytes_of({&q_.value, &kv_.value, &result_.o, &result_.lse});
  }

  void backward(Tape& tape, const Tensor& dy) override {
    const bool fused = !kv_;
    const Var& kv = fused ? q_ : kv_;
    const int64_t parts_q = fused ? 3 : 1;
    const int64_t parts_kv = fused ? 3 : 2;
    // The kernel overwrites dq, dk and dv together, so it gets its own memory, and the tape takes the result.
    const Tensor dq = Tensor::empty(q_.shape(), q_.dtype(), q_.value.device());
    const Tensor dkv = fused ? dq : Tensor::empty(kv_.shape(), kv_.dtype(), kv_.value.device());
    attention_grad(part(q_.value, parts_q, 0, heads_), part(kv.value, parts_kv, parts_kv - 2, heads_),
                   part(kv.value, parts_kv, parts_kv - 1, heads_), options_, result_, dy.reshape(result_.o.shape()),
                   {.dq = part(dq, parts_q, 0, heads_),
                    .dk = part(dkv, parts_kv, parts_kv - 2, heads_),
                    .dv = part(dkv, parts_kv, parts_kv - 1, heads_),
                    .dbias = tape.sink(bias_)});
    tape.give(q_.slot, dq);
    if (!fused) tape.give(kv_.slot, dkv);
  }

 private:
  Var q_, kv_;
  int64_t heads_;
  Slot bias_;
  AttentionOptions options_;
  AttentionResult result_;
};

Var finish(const Var& q, const Var& kv, const AttentionInputs& in, AttentionOptions options, AttentionResult result) {
  const Shape flat{result.o.size(0), result.o.size(1) * result.o.size(2)};
  Tensor o = result.o.reshape(flat);
  if (Tape* tape = recording({&q, &kv, &in.bias})) {
    return tape->record(
        std::make_unique<AttentionNode>(q, kv, in.heads, in.bias.slot, std::move(options), std::move(result)),
        std::move(o));
  }
  return o;
}

}  // namespace

Var self_attention(const Var& qkv, const AttentionInputs& in) {
  check_width(qkv, 3, in.heads);
  AttentionOptions options = options_of(in, qkv.value.size(1) / (3 * in.heads));
  options.segments_kv = in.segments_q;
  AttentionResult result = attention(part(qkv.value, 3, 0, in.heads), part(qkv.value, 3, 1, in.heads),
                                     part(qkv.value, 3, 2, in.heads), options);
  return finish(qkv, {}, in, std::move(options), std::move(result));
}

Var cross_attention(const Var& q, const Var& kv, const AttentionInputs& in) {
  check_width(q, 1, in.heads);
  check_width(kv, 2, in.heads);
  AttentionOptions options = options_of(in, q.value.size(1) / in.heads);
  AttentionResult result =
      attention(part(q.value, 1, 0, in.heads), part(kv.value, 2, 0, in.heads), part(kv.value, 2, 1, in.heads), options);
  return finish(q, kv, in, std::move(options), std::move(result));
}

}  // namespace tessera::autograd
