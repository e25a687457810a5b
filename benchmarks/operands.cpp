#include "benchmarks/operands.h"

#include <algorithm>

#include "engine/ops/copy.h"

namespace tessera::benchmarks {
namespace {

using test::Operand;

/// The first elements of an operand's values, in its type, on the host.
Tensor first_values(const Operand& o, int64_t count) {
  Tensor first = Tensor::empty({count}, o.dtype);
  const View from = o.values, to = first;
  for (int64_t i = 0; i < count; ++i) test::store(to, i, test::load(from, i));
  return first;
}

/// Fills a block with the operand's first values, again and again. They are copied on the device, each time twice as
/// many as before.
void repeat(const Operand& o, const Tensor& operand) {
  const auto total = static_cast<int64_t>(operand.storage()->bytes() / size_of(o.dtype));
  const Tensor block(operand.storage(), {total}, o.dtype);
  int64_t filled = std::min(total, test::Values::short_count(o.shape));
  copy_into(first_values(o, filled).to(operand.device()), block.slice(0, 0, filled));
  while (filled < total) {
    const int64_t more = std::min(filled, total - filled);
    copy_into(block.slice(0, 0, more), block.slice(0, filled, more));
    filled += more;
  }
}

}  // namespace

std::vector<Tensor> operands_of(const test::Problem& problem, Device device) {
  std::vector<Tensor> tensors;
  for (const Operand& o : problem.operands) {
    if (o.absent) {
      tensors.emplace_back();
    } else if (is_floating(o.dtype) && o.shape.numel() > test::Values::kShort) {
      tensors.push_back(test::uninitialised(o.shape, o.dtype, o.layout, device));
      if (o.values) repeat(o, tensors.back());
    } else {
      test::Guarded small(o.shape, o.dtype, o.layout, device);
      if (o.values) small.assign(o.values);
      tensors.push_back(small.tensor());
    }
  }
  return tensors;
}

}  // namespace tessera::benchmarks
