#include "tests/device/device.h"

#include <cstdlib>

#include "engine/runtime/context.h"

namespace tessera::test {

Device test_device() {
  static const Device device = [] {
    setenv("TESSERA_CUDA_LIBRARY", TESSERA_EMULATED_LIBRARY, 0);
    return Device::cuda(0);
  }();
  return device;
}

bool device_is_emulated() {
  return context(test_device()).backend().description().find("emulated") != std::string::npos;
}

}  // namespace tessera::test
