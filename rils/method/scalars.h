#pragma once

#include <span>
#include <vector>

#include "engine/tensor/tensor.h"

namespace tessera::rils {

/// The values of tensors of one element on one device, read together: on a device the host waits once, for all work
/// that is queued.
[[nodiscard]] std::vector<double> values_of(std::span<const Tensor> scalars);

}  // namespace tessera::rils
