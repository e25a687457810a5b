#pragma once

#include <string>

#include "nn/io/safetensors.h"

namespace tessera::test {

/// Path of a file below tests/golden, or below the folder that TESSERA_GOLDEN names, for binaries that run on another
/// machine.
[[nodiscard]] std::string golden_path(const std::string& name);
/// Where the golden models compute: the device that TESSERA_TEST_DEVICE names, or the CPU.
[[nodiscard]] Device golden_device();

/// Largest |a − b| over the largest |b| (0 when both are zero everywhere); tensors of any floating type.
[[nodiscard]] double relative_error(const Tensor& found, const Tensor& expected);
[[nodiscard]] double absolute_error(const Tensor& found, const Tensor& expected);

}  // namespace tessera::test
