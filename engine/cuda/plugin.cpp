#include "engine/runtime/plugin.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "engine/cuda/device.h"

namespace tessera::cuda {
namespace {

int devices(std::string& why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    why = fmt::format("no usable GPU: {}; use device cpu", cudaGetErrorString(status));
    return 0;
  }
  if (count == 0) why = "this machine has no GPU; use device cpu";
  return count;
}

std::unique_ptr<Backend> open_device(int index) { return std::make_unique<CudaBackend>(index); }

constexpr BackendPlugin kPlugin{.build = kBackendBuild, .devices = devices, .open = open_device};

}  // namespace
}  // namespace tessera::cuda

extern "C" __attribute__((visibility("default"))) const tessera::BackendPlugin* tessera_backend();
const tessera::BackendPlugin* tessera_backend() { return &tessera::cuda::kPlugin; }
