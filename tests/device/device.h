#pragma once

#include "engine/core/device.h"

namespace tessera::test {

/// The device under test, cuda:0. Without TESSERA_CUDA_LIBRARY it is the emulated one; with it, whatever that plugin
/// opens.
[[nodiscard]] Device test_device();
[[nodiscard]] bool device_is_emulated();

}  // namespace tessera::test
