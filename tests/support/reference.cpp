#include "tests/support/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera::test {

const KernelTable& reference_kernels() {
  static const KernelTable table{.name = "reference",
                                 .copy = reference::kCopy,
                                 .pointwise = reference::kPointwise,
                                 .reduce = reference::kReduce,
                                 .linear = reference::kLinear,
                                 .matmul = reference::kMatmul,
                                 .norm = reference::kNorm,
                                 .attention = reference::kAttention,
                                 .rows = reference::kRows,
                                 .patches = reference::kPatches,
                                 .loss = reference::kLoss,
                                 .patch_sentence = reference::kPatchSentence,
                                 .optimizer = reference::kOptimizer};
  return table;
}

namespace reference {

Shape shape_of(const View& view) { return Shape(std::span(view.shape.data(), static_cast<size_t>(view.rank))); }

Array::Array(const View& view) {
  if (!view) return;
  *this = Array(shape_of(view));
  size_t i = 0;
  for_each_offset(view, [&](int64_t offset) { values_[i++] = load(view, offset); });
}

void write(const Array& values, const View& to, GradMode mode) {
  if (!to) return;
  size_t i = 0;
  for_each_offset(to, [&](int64_t offset) {
    const double x = values.values()[i++];
    store(to, offset, mode == GradMode::accumulate ? load(to, offset) + x : x);
  });
}

double log_sum_exp(const std::vector<double>& x) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double v : x) largest = std::max(largest, v);
  double sum = 0;
  for (const double v : x) sum += std::exp(v - largest);
  return largest + std::log(sum);
}

}  // namespace reference
}  // namespace tessera::test
