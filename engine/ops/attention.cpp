#include "engine/ops/attention.h"

#include <fmt/format.h>

#include "engine/ops/check.h"
#include "engine/ops/kernels.h"

namespace tessera {
namespace {

constexpr const char* kOp = "attention";

void check_inputs(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& o) {
  check::rank(kOp, {"q", q}, 3);
  check::shape(kOp, {"k", k}, {-1, q.size(1), q.size(2)}, "heads and head dim of q");
  check::shape(kOp, {"v", v}, k.shape(), "the shape of k");
  check::dtype(kOp, {"q", q}, {DType::f32, DType::bf16, DType::f64});
  check::dtype(kOp, {"k", k}, {q.dtype()});
  check::dtype(kOp, {"v", v}, {q.dtype()});
  check::dense_rows(kOp, {{"q", q}, {"k", k}, {"v", v}});
  check::segments(kOp, "query segments", o.segments_q, q.size(0));
  check::segments(kOp, "key segments", o.segments_kv, k.size(0));
  if (o.segments_q.count() != o.segments_kv.count()) {
    throw ShapeError(fmt::format("{}: {} query segments, expected {} (key segments)", kOp, o.segments_q.count(),
                                 o.segments_kv.count()));
  }
  for (int64_t b = 0; o.causal && b < o.segments_q.count(); ++b) {
    if (o.segments_q.begin(b) != o.segments_kv.begin(b) || o.segments_q.end(b) != o.segments_kv.end(b)) {
      throw ShapeError(fmt::format("{}: causal needs equal query and key segments, segment {} differs", kOp, b));
    }
  }
  if (o.bias) {
    check::shape(kOp, {"bias", o.bias}, {q.size(1), o.segments_q.max_len(), o.segments_kv.max_len()},
                 "heads, longest query and key segment");
    check::dtype(kOp, {"bias", o.bias}, {check::statistics(q.dtype())});
    check::contiguous(kOp, {{"bias", o.bias}});
  }
}

}  // namespace

AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& o) {
  Context& c = check::device(kOp, {{"q", q}, {"k", k}, {"v", v}}, {{"bias", o.bias}});
  check_inputs(q, k, v, o);
  AttentionResult r;
  r.o = Tensor::empty(q.shape(), q.dtype(), q.device());
  r.lse = Tensor::empty({q.size(1), q.size(0)}, check::statistics(q.dtype()), q.device());
  c.kernels().attention.forward(c, {.q = q,
                                    .k = k,
                                    .v = v,
                                    .bias = o.bias,
                                    .segments_q = o.segments_q.on(c.device()),
                                    .segments_kv = o.segments_kv.on(c.device()),
                                    .causal = o.causal,
                                    .scale = o.scale,
                                    .o = r.o,
                                    .lse = r.lse});
  return r;
}

void attention_grad(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& o,
                    const AttentionResult& result, const Tensor& d_o, const AttentionGrads& grads) {
  const auto& [dq, dk, dv, dbias] = grads;
  Context& c = check::device(kOp, {{"q", q}, {"k", k}, {"v", v}, {"d_o", d_o}, {"dq", dq}, {"dk", dk}, {"dv", dv}},
                             {{"bias", o.bias}, {"o", result.o}, {"lse", result.lse}, {"dbias", dbias.tensor}});
  check_inputs(q, k, v, o);
  check::shape(kOp, {"d_o", d_o}, q.shape(), "the shape of q");
  check::shape(kOp, {"dq", dq}, q.shape(), "the shape of q");
  check::shape(kOp, {"dk", dk}, k.shape(), "the shape of k");
  check::shape(kOp, {"dv", dv}, k.shape(), "the shape of k");
  for (const check::Operand g : {check::Operand{"d_o", d_o}, {"dq", dq}, {"dk", dk}, {"dv", dv}}) {
    check::dtype(kOp, g, {q.dtype()});
  }
  check::dense_rows(kOp, {{"d_o", d_o}, {"dq", dq}, {"dk", dk}, {"dv", dv}});
  if (dbias) check::shape(kOp, {"dbias", dbias.tensor}, o.bias.shape(), "the shape of bias");
  c.kernels().attention.backward(c, {.q = q,
                                     .k = k,
                                     .v = v,
                                     .bias = o.bias,
                                     .o = result.o,
                                     .lse = result.lse,
                                     .d_o = d_o,
                                     .segments_q = o.segments_q.on(c.device()),
                                     .segments_kv = o.segments_kv.on(c.device()),
                                     .causal = o.causal,
                                     .scale = o.scale,
                                     .dq = dq,
                                     .dk = dk,
                                     .dv = dv,
                                     .dbias = dbias.tensor,
                                     .bias_mode = dbias.mode});
}

}  // namespace tessera
