#pragma once

// The emulated device's memory as tests see it. include/cuda_runtime_api.h is what programs see.
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace tessera::emulation {

/// How many bytes cudaMalloc gives in all; 8 GiB at first, or TESSERA_EMULATOR_MEMORY bytes.
void set_device_memory(size_t bytes);
/// The next `count` calls of cudaMalloc and cudaMallocHost fail with cudaErrorMemoryAllocation.
void fail_allocations(int64_t count);
/// While true, cudaMalloc, cudaFree and their host twins throw KernelError: a step that is warm must not call them.
void forbid_allocations(bool forbidden);
/// How many devices cudaGetDeviceCount finds; 1 at first. With 0 it returns cudaErrorNoDevice.
void set_device_count(int count);

struct MemoryStatistics {
  int64_t mallocs = 0, frees = 0;            ///< calls for device memory
  int64_t host_mallocs = 0, host_frees = 0;  ///< calls for pinned memory
  size_t bytes = 0;                          ///< of device memory, now
  size_t blocks = 0, host_blocks = 0;        ///< not freed yet
};
[[nodiscard]] MemoryStatistics memory_statistics();

/// What cudaFuncSetAttribute was told about a kernel's dynamic shared memory.
[[nodiscard]] std::optional<size_t> requested_shared(const void* kernel);

/// Keeps an error for cudaGetLastError of this host thread, and returns it.
cudaError_t noted(cudaError_t error);

}  // namespace tessera::emulation
