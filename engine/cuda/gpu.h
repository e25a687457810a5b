#pragma once

// What every kernel file includes first. nvcc takes the toolkit's headers; an ordinary C++ compiler takes headers of
// the same names from tests/emulation/include, which run the same source on the CPU.
//
//   GPU_SHARED(float, sums, [8][32]);    shared memory of a block: float sums[8][32]
//   GPU_DYNAMIC_SHARED(float, tile);     the dynamic shared memory of the launch: float* tile, 16-byte aligned
//   GPU_LAUNCH(kernel, grid, block, bytes, stream, arguments…);
//
// GPU_LAUNCH throws DeviceError when the launch is refused. A kernel that is a template stands in parentheses.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "engine/cuda/stream.h"

#if defined(__CUDACC__)
#define GPU_SHARED(T, name, ...) __shared__ T name __VA_ARGS__
#define GPU_DYNAMIC_SHARED(T, name)                             \
  extern __shared__ __align__(16) unsigned char gpu_dynamic_[]; \
  T* const name = reinterpret_cast<T*>(gpu_dynamic_)
#else
#define GPU_SHARED(T, name, ...)                                         \
  using name##_type_ = T __VA_ARGS__;                                    \
  static constinit ::tessera::emulation::SharedSite name##_site_(#name); \
  name##_type_& name = *static_cast<name##_type_*>(                      \
      ::tessera::emulation::static_shared(name##_site_, sizeof(name##_type_), alignof(name##_type_)))
#define GPU_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::tessera::emulation::dynamic_shared())
#endif

namespace tessera::cuda {

template <class... Parameters, class... Arguments>
void gpu_launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                cudaStream_t stream, const Arguments&... arguments) {
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  }
#if defined(__CUDACC__)
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
#else
  ::tessera::emulation::launch(name, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes,
                               [&] { kernel(static_cast<Parameters>(arguments)...); });
#endif
  launched(name, stream);
}
#define GPU_LAUNCH(kernel, ...) ::tessera::cuda::gpu_launch(#kernel, kernel, __VA_ARGS__)

inline constexpr int kWarp = 32;

/// The number of blocks of `each` that cover `count`.
constexpr int64_t blocks_of(int64_t count, int64_t each) { return (count + each - 1) / each; }
/// A grid's extent. Throws nothing: callers split what would exceed 2³¹ − 1 blocks.
constexpr unsigned extent(int64_t blocks) { return static_cast<unsigned>(blocks); }

}  // namespace tessera::cuda
