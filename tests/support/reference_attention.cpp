#include <cmath>
#include <limits>

#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

/// The common inputs of forward and backward.
struct Inputs {
  Array q, k, v, bias;
  Segments segments_q, segments_kv;
  bool causal;
  double scale;

  template <class Args>
  explicit Inputs(const Args& a)
      : q(a.q),
        k(a.k),
        v(a.v),
        bias(a.bias),
        segments_q(a.segments_q),
        segments_kv(a.segments_kv),
        causal(a.causal),
        scale(a.scale) {}

  /// How many of the segment's keys query i of segment b sees.
  [[nodiscard]] int64_t keys(int64_t b, int64_t i) const {
    return causal ? i + 1 : segments_kv.end(b) - segments_kv.begin(b);
  }
  [[nodiscard]] double score(int64_t b, int64_t h, int64_t i, int64_t j) const {
    const int64_t row = segments_q.begin(b) + i;
    const int64_t key = segments_kv.begin(b) + j;
    double sum = 0;
    for (int64_t e = 0; e < q.size(2); ++e) sum += q(row, h, e) * k(key, h, e);
    return sum * scale + (bias ? bias(h, i, j) : 0);
  }
};

/// Calls body(segment, head, query within the segment).
template <class Body>
void for_each_query(const Inputs& in, const Body& body) {
  for (int64_t b = 0; b < in.segments_q.count; ++b) {
    for (int64_t h = 0; h < in.q.size(1); ++h) {
      for (int64_t i = 0; i < in.segments_q.end(b) - in.segments_q.begin(b); ++i) body(b, h, i);
    }
  }
}

void forward(Context&, const AttentionArgs& a) {
  const Inputs in(a);
  Array o(in.q.shape());
  Array lse({in.q.size(1), in.q.size(0)});
  std::vector<double> scores;
  for_each_query(in, [&](int64_t b, int64_t h, int64_t i) {
    const int64_t row = in.segments_q.begin(b) + i;
    const int64_t first = in.segments_kv.begin(b);
    double largest = -std::numeric_limits<double>::infinity();
    scores.clear();
    for (int64_t j = 0; j < in.keys(b, i); ++j) {
      scores.push_back(in.score(b, h, i, j));
      largest = std::max(largest, scores.back());
    }
    double sum = 0;
    for (const double s : scores) sum += std::exp(s - largest);
    lse(h, row) = scores.empty() ? -std::numeric_limits<double>::infinity() : largest + std::log(sum);
    for (size_t j = 0; j < scores.size(); ++j) {
      const double p = std::exp(scores[j] - lse(h, row));
      for (int64_t e = 0; e < in.q.size(2); ++e) o(row, h, e) += p * in.v(first + static_cast<int64_t>(j), h, e);
    }
  });
  write(o, a.o);
  write(lse, a.lse);
}

void backward(Context&, const AttentionGradArgs& a) {
  const Inputs in(a);
  const Array o(a.o);
  const Array lse(a.lse);
  const Array d_o(a.d_o);
  Array dq(in.q.shape());
  Array dk(in.k.shape());
  Array dv(in.v.shape());
  Array dbias = in.bias ? Array(in.bias.shape()) : Array();
  for_each_query(in, [&](int64_t b, int64_t h, int64_t i) {
    const int64_t row = in.segments_q.begin(b) + i;
    const int64_t first = in.segments_kv.begin(b);
    double inner = 0;  // Σ d_o · o, which is Σ_j p_j dp_j
    for (int64_t e = 0; e < in.q.size(2); ++e) inner += d_o(row, h, e) * o(row, h, e);
    for (int64_t j = 0; j < in.keys(b, i); ++j) {
      const int64_t key = first + j;
      const double p = std::exp(in.score(b, h, i, j) - lse(h, row));
      double dp = 0;
      for (int64_t e = 0; e < in.q.size(2); ++e) dp += d_o(row, h, e) * in.v(key, h, e);
      const double ds = p * (dp - inner);
      if (in.bias) dbias(h, i, j) += ds;
      for (int64_t e = 0; e < in.q.size(2); ++e) {
        dv(key, h, e) += p * d_o(row, h, e);
        dq(row, h, e) += ds * in.scale * in.k(key, h, e);
        dk(key, h, e) += ds * in.scale * in.q(row, h, e);
      }
    }
  });
  write(dq, a.dq);
  write(dk, a.dk);
  write(dv, a.dv);
  write(dbias, a.dbias, a.bias_mode);
}

}  // namespace

const AttentionKernels kAttention{.forward = forward, .backward = backward};

}  // namespace tessera::test::reference
