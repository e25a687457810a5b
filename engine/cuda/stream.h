#pragma once

#include <cuda_runtime.h>

namespace tessera {
class Context;
}

namespace tessera::cuda {

/// The stream on which a context's kernels run, one after the other.
[[nodiscard]] cudaStream_t stream_of(Context& context);
/// Called after each launch. Throws DeviceError when the launch was refused; with TESSERA_SYNC=1 it waits for the
/// kernel and reports its failure by name.
void launched(const char* kernel, cudaStream_t stream);

}  // namespace tessera::cuda
