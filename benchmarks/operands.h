#pragma once

#include <vector>

#include "tests/support/op_case.h"

namespace tessera::benchmarks {

/// The operands of a problem on a device, each in its layout. Large ones repeat the values that were drawn; outputs are
/// not written. An absent operand has an absent tensor.
[[nodiscard]] std::vector<Tensor> operands_of(const test::Problem& problem, Device device);

}  // namespace tessera::benchmarks
