#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

void sum(Context&, const SumArgs& a) {
  const Array x(a.x);
  const Array w(a.w);
  Array y(shape_of(a.y));
  for (size_t i = 0; i < x.values().size(); ++i) y.values()[0] += x.values()[i] * (w ? w.values()[i] : 1.0);
  y.values()[0] *= a.alpha;
  write(y, a.y, a.mode);
}

void segment_mean(Context&, const SegmentMeanArgs& a) {
  const Array x(a.x);
  Array y({a.segments.count, x.size(1)});
  for (int64_t b = 0; b < a.segments.count; ++b) {
    const int64_t first = a.segments.begin(b) + a.skip;
    const auto count = static_cast<double>(a.segments.end(b) - first);
    for (int64_t i = first; i < a.segments.end(b); ++i) {
      for (int64_t j = 0; j < x.size(1); ++j) y(b, j) += x(i, j) / count;
    }
  }
  write(y, a.y);
}

void segment_mean_grad(Context&, const SegmentMeanGradArgs& a) {
  const Array dy(a.dy);
  Array dx(shape_of(a.dx));
  for (int64_t b = 0; b < a.segments.count; ++b) {
    const int64_t first = a.segments.begin(b) + a.skip;
    const auto count = static_cast<double>(a.segments.end(b) - first);
    for (int64_t i = first; i < a.segments.end(b); ++i) {
      for (int64_t j = 0; j < dx.size(1); ++j) dx(i, j) = dy(b, j) / count;
    }
  }
  write(dx, a.dx, a.mode);
}

}  // namespace

const ReduceKernels kReduce{.sum = sum, .segment_mean = segment_mean, .segment_mean_grad = segment_mean_grad};

}  // namespace tessera::test::reference
