#pragma once

#include <string>

#include "nn/io/safetensors.h"

namespace tessera::test {

/// Path of a file below tests/golden.
[[nodiscard]] inline std::string golden_path(const std::string& name) {
  return std::string(TESSERA_SOURCE_DIR) + "/tests/golden/" + name;
}

/// Largest |a − b| over the largest |b| (0 when both are zero everywhere); tensors of any floating type.
[[nodiscard]] double relative_error(const Tensor& found, const Tensor& expected);
[[nodiscard]] double absolute_error(const Tensor& found, const Tensor& expected);

}  // namespace tessera::test
