#include "engine/ops/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/attention.h"
#include "tests/op_cases/cases.h"

namespace tessera::test {
namespace {

using Lengths = std::vector<int64_t>;

struct AttentionPick {
  Lengths queries;
  Lengths keys{};  // empty: as the queries
  int64_t heads = 2, width = 16;
  bool causal = false, bias = false, fused = false;
  bool skewed = false;  // rows at odd addresses
  double spread = 1;    // of the scores
  double level = 0;     // about which the bias lies, and so the scores
};

struct Setup {
  SegmentTable segments_q, segments_kv;
  double scale, keys;
  Layout rows;

  explicit Setup(const AttentionPick& pick)
      : segments_q(pick.queries),
        segments_kv(pick.keys.empty() ? pick.queries : pick.keys),
        scale(1 / std::sqrt(static_cast<double>(pick.width))),
        keys(static_cast<double>(segments_kv.max_len())),
        rows(pick.fused    ? padded(2 * pick.heads, 1)
             : pick.skewed ? padded(3)
                           : Layout{}) {}
  [[nodiscard]] AttentionOptions options(const AttentionPick& pick, const Tensor& bias) const {
    return {.segments_q = segments_q, .segments_kv = segments_kv, .causal = pick.causal, .scale = scale, .bias = bias};
  }
};

std::string name_of(const AttentionPick& pick, const Setup& s) {
  return fmt::format("{} heads of {}, {} segments, {} queries, {} keys{}{}{}{}, scores {} ± {}", pick.heads, pick.width,
                     s.segments_q.count(), s.segments_q.rows(), s.segments_kv.rows(), pick.causal ? ", causal" : "",
                     pick.bias ? ", bias" : "", pick.fused ? ", fused" : "", pick.skewed ? ", skewed" : "", pick.level,
                     pick.spread);
}

/// bf16 rounds the probabilities (and their gradients) once before a product; the relative error stays when it is
/// summed. A score's rounding is a relative error of its probability.
Tolerance weighted_sum(DType dtype, double terms, const AttentionPick& pick) {
  if (dtype == DType::bf16) return {.c = 2, .floor = 0.02, .precision = DType::bf16};
  const bool large = pick.spread > 1 || pick.level != 0;
  return {.c = 2 + (large ? 4 * pick.spread + std::abs(pick.level) : 0), .k = terms + 16, .floor = 0.1};
}

Problem forward_problem(Values& values, DType dtype, const AttentionPick& pick) {
  const Setup s(pick);
  const Shape q{s.segments_q.rows(), pick.heads, pick.width};
  const Shape kv{s.segments_kv.rows(), pick.heads, pick.width};
  const Shape bias{pick.heads, s.segments_q.max_len(), s.segments_kv.max_len()};
  Problem p;
  p.name = name_of(pick, s);
  p.operands = {in("q", dtype, values.normal(q, pick.spread), s.rows),
                in("k", dtype, values.normal(kv), s.rows),
                in("v", dtype, values.normal(kv), s.rows),
                pick.bias ? in("bias", wide(dtype), values.normal(bias, 1, pick.level)) : absent("bias"),
                out("o", dtype, q, weighted_sum(dtype, s.keys, pick), pick.fused ? padded(pick.heads, 1) : Layout{}),
                out("lse", wide(dtype), {pick.heads, q[0]}, {.c = 2, .k = s.keys + 16, .floor = 1})};
  p.call = [=](Context& c, const KernelTable& t, Views v, GradMode) {
    t.attention.forward(c, {.q = v[0],
                            .k = v[1],
                            .v = v[2],
                            .bias = v[3],
                            .segments_q = s.segments_q.on(c.device()),
                            .segments_kv = s.segments_kv.on(c.device()),
                            .causal = pick.causal,
                            .scale = s.scale,
                            .o = v[4],
                            .lse = v[5]});
  };
  p.op = [=](Tensors t, GradMode) -> std::vector<Tensor> {
    const AttentionResult r = attention(t[0], t[1], t[2], s.options(pick, t[3]));
    return {r.o, r.lse};
  };
  const bool uniform = std::ranges::all_of(pick.queries, [&](int64_t n) { return n == pick.queries[0]; });
  if (uniform && pick.keys.empty() && pick.queries.size() > 1) {
    p.batch = {{0, 0}, {1, 0}, {2, 0}, {4, 0}, {5, 1}};
    p.batch_block = pick.queries[0];
  }
  for (int64_t b = 0; b < s.segments_q.count(); ++b) {
    const int64_t queries = s.segments_q.end(b) - s.segments_q.begin(b);
    const int64_t pairs =
        pick.causal ? queries * (queries + 1) / 2 : queries * (s.segments_kv.end(b) - s.segments_kv.begin(b));
    p.flops += 4.0 * static_cast<double>(pick.heads * pick.width * pairs);
  }
  return p;
}

Problem backward_problem(Values& values, DType dtype, const AttentionPick& pick) {
  const Setup s(pick);
  const Problem forward = forward_problem(values, dtype, pick);
  const auto saved = values.saved(forward, {{4, {0, 0.1}}, {5, {std::log(s.keys + 1) + 0.5, 0.05}}});
  const auto& ops = forward.operands;
  // A key sums over up to every query, with terms of the size of the largest results.
  Tolerance tolerance = weighted_sum(dtype, s.keys + static_cast<double>(s.segments_q.max_len()), pick);
  if (dtype == DType::bf16) tolerance.c = 4;
  const auto bias_tolerance = tolerance;
  Tolerance key_tolerance = tolerance;
  key_tolerance.floor *= pick.spread;  // a sum of queries
  Problem p;
  p.name = "backward, " + forward.name;
  p.operands = {ops[0],
                ops[1],
                ops[2],
                ops[3],
                in("o", dtype, saved[4]),
                in("lse", wide(dtype), saved[5]),
                in("d_o", dtype, values.normal(ops[4].shape)),
                out("dq", dtype, ops[0].shape, tolerance, s.rows),
                out("dk", dtype, ops[1].shape, key_tolerance, s.rows),
                out("dv", dtype, ops[2].shape, tolerance, s.rows),
                pick.bias ? sum_out("dbias", wide(dtype), ops[3].shape, bias_tolerance) : absent("dbias")};
  p.call = [=](Context& c, const KernelTable& t, Views v, GradMode mode) {
    t.attention.backward(c, {.q = v[0],
                             .k = v[1],
                             .v = v[2],
                             .bias = v[3],
                             .o = v[4],
                             .lse = v[5],
                             .d_o = v[6],
                             .segments_q = s.segments_q.on(c.device()),
                             .segments_kv = s.segments_kv.on(c.device()),
                             .causal = pick.causal,
                             .scale = s.scale,
                             .dq = v[7],
                             .dk = v[8],
                             .dv = v[9],
                             .dbias = v[10],
                             .bias_mode = mode});
  };
  p.op = [=](Tensors t, GradMode mode) -> std::vector<Tensor> {
    attention_grad(t[0], t[1], t[2], s.options(pick, t[3]), {t[4], t[5]}, t[6],
                   {.dq = t[7], .dk = t[8], .dv = t[9], .dbias = {t[10], mode}});
    return {};
  };
  if (!forward.batch.empty() && !pick.bias) {
    p.batch = {{0, 0}, {1, 0}, {2, 0}, {4, 0}, {5, 1}, {6, 0}, {7, 0}, {8, 0}, {9, 0}};
    p.batch_block = forward.batch_block;
  }
  p.flops = 2.5 * forward.flops;
  return p;
}

std::vector<AttentionPick> picks() {
  return {{.queries = {}},
          {.queries = {0}},
          {.queries = {1}, .heads = 1, .width = 1},
          {.queries = {7}, .heads = 1, .width = 5},
          {.queries = {33, 0, 5, 1}, .heads = 3, .width = 40},
          {.queries = {33, 0, 5, 1}, .heads = 3, .width = 40, .causal = true, .bias = true},
          {.queries = {50, 50, 50}, .width = 64, .fused = true},
          {.queries = {33, 33, 33}, .heads = 1, .width = 16, .causal = true, .fused = true},
          {.queries = {67, 67}, .width = 72, .bias = true, .fused = true},
          {.queries = {197}, .heads = 1, .width = 64},
          {.queries = {257}, .heads = 1, .width = 32, .causal = true},
          {.queries = {130}, .heads = 1, .width = 130},
          // Cross attention; a segment without keys and one without queries.
          {.queries = {5, 3, 0, 17}, .keys = {9, 0, 4, 45}, .width = 24},
          {.queries = {1, 31}, .keys = {66, 15}, .width = 48, .bias = true},
          {.queries = {1, 1, 1}, .keys = {5, 77, 16}, .width = 64},
          {.queries = {0, 3}, .keys = {2, 0}, .bias = true},
          {.queries = {2, 70, 5}, .keys = {70, 3, 65}, .heads = 1, .width = 8, .bias = true},
          // Captions of many lengths; segments of several blocks beside short ones.
          {.queries = {1, 77, 16, 40}, .width = 64, .causal = true, .fused = true},
          {.queries = {150, 3}, .keys = {3, 150}, .heads = 1, .width = 64},
          {.queries = {67, 5}, .heads = 1, .width = 80, .fused = true},
          {.queries = {19, 34}, .width = 16, .skewed = true},
          // One query beyond the blocks of the tiles of 14 and 6 rows.
          {.queries = {113, 49}, .heads = 1},
          // Scores beyond the range of exp in f32 and in f64, on both sides of zero.
          {.queries = {33, 0, 5, 1}, .heads = 3, .width = 40, .spread = 400},
          {.queries = {9, 17}, .causal = true, .bias = true, .level = -1000},
          {.queries = {9, 17}, .bias = true, .level = 1000},
          // Keys beyond one block of 1,024.
          {.queries = {5}, .keys = {1025}, .heads = 1, .spread = 400},
          {.queries = {37}, .keys = {1025}, .heads = 1, .width = 20},
          {.queries = {19, 2}, .keys = {2050, 1024}, .heads = 1, .width = 16, .bias = true},
          {.queries = {1060}, .heads = 1, .width = 8, .causal = true}};
}

std::vector<Problem> attention_problems(DType dtype) {
  Values values("attention");
  std::vector<Problem> problems;
  for (const AttentionPick& pick : picks()) {
    problems.push_back(forward_problem(values, dtype, pick));
    problems.push_back(backward_problem(values, dtype, pick));
  }
  return problems;
}

std::vector<Gradient> attention_gradients() {
  Values values("attention gradients");
  const auto self = [](bool causal) {
    return [causal](const std::vector<autograd::Var>& v, DType) {
      autograd::AttentionInputs inputs{.heads = 2, .segments_q = SegmentTable(Lengths{3, 1}), .causal = causal};
      if (v.size() > 1) inputs.bias = v[1];
      return autograd::self_attention(v[0], inputs);
    };
  };
  return {{.name = "self", .inputs = {{values.normal({4, 12})}}, .forward = self(false), .c = 8, .k = 4},
          {.name = "causal", .inputs = {{values.normal({4, 12})}}, .forward = self(true), .c = 8, .k = 4},
          {.name = "bias",
           .inputs = {{values.normal({4, 12})}, {values.normal({2, 3, 3}), true}},
           .forward = self(false),
           .c = 8,
           .k = 4},
          {.name = "cross",
           .inputs = {{values.normal({4, 6})}, {values.normal({5, 12})}},
           .forward =
               [](const auto& v, DType) {
                 return autograd::cross_attention(v[0], v[1],
                                                  {.heads = 2,
                                                   .segments_q = SegmentTable(Lengths{3, 1, 0}),
                                                   .segments_kv = SegmentTable(Lengths{2, 0, 3})});
               },
           .c = 8,
           .k = 4}};
}

std::vector<Refusal> attention_refusals() {
  const auto call = [](const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& o) {
    return [=] { (void)attention(q, k, v, o); };
  };
  const SegmentTable whole = SegmentTable::uniform(1, 4);
  const Tensor x = Tensor::zeros({4, 2, 8});
  const AttentionOptions good{.segments_q = whole, .segments_kv = whole};
  const AttentionOptions causal{
      .segments_q = SegmentTable(Lengths{1, 3}), .segments_kv = SegmentTable(Lengths{3, 1}), .causal = true};
  AttentionOptions biased = good;
  biased.bias = Tensor::zeros({2, 4, 3});
  AttentionOptions narrow = good;
  narrow.bias = Tensor::zeros({2, 4, 4}, DType::bf16);
  return {{"rank of q", ErrorKind::shape, call(Tensor::zeros({4, 16}), x, x, good)},
          {"heads of k", ErrorKind::shape, call(x, Tensor::zeros({4, 1, 8}), x, good)},
          {"rows of v", ErrorKind::shape, call(x, x, Tensor::zeros({3, 2, 8}), good)},
          {"query segments", ErrorKind::shape,
           call(x, x, x, {.segments_q = SegmentTable::uniform(1, 3), .segments_kv = whole})},
          {"counts of segments", ErrorKind::shape,
           call(x, x, x, {.segments_q = SegmentTable::uniform(2, 2), .segments_kv = whole})},
          {"causal with unequal segments", ErrorKind::shape, call(x, x, x, causal)},
          {"bias", ErrorKind::shape, call(x, x, x, biased)},
          {"bias in bf16", ErrorKind::dtype, call(x, x, x, narrow)},
          {"strided head dimension", ErrorKind::shape, call(Tensor::zeros({4, 8, 2}).transpose(1, 2), x, x, good)},
          {"types of q and k", ErrorKind::dtype, call(x, Tensor::zeros({4, 2, 8}, DType::bf16), x, good)}};
}

}  // namespace

std::vector<OpCase> attention_cases() {
  OpCase c;
  c.name = "attention";
  c.slots = {"attention.forward", "attention.backward"};
  c.problems = attention_problems;
  c.gradients = attention_gradients();
  c.refusals = attention_refusals();
  c.benchmarks = [](DType dtype, const BenchmarkSizes& s) {
    Values v = Values::shortened("attention benchmark");
    const auto samples = static_cast<size_t>(s.batch);
    std::vector<Problem> problems;
    for (const AttentionPick& pick :
         {AttentionPick{.queries = Lengths(samples, s.tokens), .heads = s.heads, .width = 64, .fused = true},
          AttentionPick{.queries = Lengths(samples, s.visible), .heads = s.heads, .width = 64, .fused = true},
          AttentionPick{.queries = Lengths(samples, s.tokens - s.visible),
          .keys = Lengths(samples, s.tokens),
          .heads = s.heads,
          .width = 64},
          AttentionPick{.queries = Lengths(samples, s.caption),
          .heads = s.text_heads,
          .width = 64,
          .causal = true,
          .fused = true}}) {
      problems.push_back(forward_problem(v, dtype, pick));
      problems.push_back(backward_problem(v, dtype, pick));
    }
    return problems;
  };
  return {c};
}

}  // namespace tessera::test
