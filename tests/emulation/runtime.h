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
/// While true, a stream copies from pinned memory as late as a device may: when the host or another stream waits for
/// it, or when it copies otherwise. So whoever does not wait, or reuses the memory before that, finds the wrong bytes.
/// Kernels do not wait for the late copies of their own stream.
void delay_copies(bool delayed);
/// The next wait for a stream or an event returns this error, as after a kernel that failed while it ran.
void fail_wait(cudaError_t error);
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

/// Takes over a copy from pinned memory that may come late; false where it must be made now.
[[nodiscard]] bool delay(cudaStream_t stream, void* to, const void* from, size_t bytes);
/// Makes the late copies of a stream.
void catch_up(cudaStream_t stream);

/// Keeps an error for cudaGetLastError of this host thread, and returns it.
cudaError_t noted(cudaError_t error);

}  // namespace tessera::emulation
