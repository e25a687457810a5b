#include "tests/emulation/runtime.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>

#include "tests/emulation/emulator.h"
#include "tests/emulation/sanitizers.h"
#include "tests/emulation/shared_memory.h"

namespace {

constexpr size_t kAlignment = 256;
constexpr int kPoison = 0xff;
constexpr int kVersion = 13000;
constexpr int kMultiprocessors = 132;
constexpr int kClockKiloHertz = 1'000'000;
constexpr int kMajor = 9;
constexpr int kLanesOfWarp = 32;
constexpr int kMostThreadsOfBlock = 1024;
constexpr int kMostThreadsOfMultiprocessor = 2048;
constexpr size_t kSharedOfMultiprocessor = 228 * 1024;
constexpr int kCache = 50 * 1024 * 1024;

}  // namespace

namespace tessera::emulation {

namespace {

thread_local int current_device = 0;

using Blocks = std::map<uintptr_t, size_t>;

/// Whether the bytes lie in one block.
bool holds(const Blocks& blocks, const void* p, size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(p);
  auto block = blocks.upper_bound(first);
  if (block == blocks.begin()) return false;
  --block;
  return first + bytes <= block->first + block->second && (first < block->first + block->second || bytes == 0);
}

class Device {
 public:
  static Device& get() {
    static Device device;
    return device;
  }

  cudaError_t allocate(void** p, size_t bytes, bool host) {
    const std::lock_guard lock(mutex_);
    check_allowed(host ? "cudaMallocHost" : "cudaMalloc");
    ++(host ? statistics_.host_mallocs : statistics_.mallocs);
    if (p == nullptr) return cudaErrorInvalidValue;
    *p = nullptr;
    if (failing_ > 0) {
      --failing_;
      return cudaErrorMemoryAllocation;
    }
    if (bytes == 0) return cudaSuccess;
    if (!host && (bytes > memory_ || statistics_.bytes > memory_ - bytes)) return cudaErrorMemoryAllocation;
    const size_t reserved = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    char* const memory = static_cast<char*>(std::aligned_alloc(kAlignment, reserved));
    if (memory == nullptr) return cudaErrorMemoryAllocation;
    std::memset(memory, kPoison, reserved);
    forbid(memory + bytes, reserved - bytes);
    (host ? host_blocks_ : blocks_)[reinterpret_cast<uintptr_t>(memory)] = bytes;
    if (!host) statistics_.bytes += bytes;
    *p = memory;
    return cudaSuccess;
  }

  cudaError_t release(void* p, bool host) {
    const std::lock_guard lock(mutex_);
    check_allowed(host ? "cudaFreeHost" : "cudaFree");
    ++(host ? statistics_.host_frees : statistics_.frees);
    if (p == nullptr) return cudaSuccess;
    Blocks& blocks = host ? host_blocks_ : blocks_;
    const auto block = blocks.find(reinterpret_cast<uintptr_t>(p));
    if (block == blocks.end()) return cudaErrorInvalidValue;
    if (!host) statistics_.bytes -= block->second;
    allow(p, (block->second + kAlignment - 1) / kAlignment * kAlignment);
    blocks.erase(block);
    std::free(p);
    return cudaSuccess;
  }

  cudaMemoryType type_of(const void* p) {
    const std::lock_guard lock(mutex_);
    if (holds(blocks_, p, 1)) return cudaMemoryTypeDevice;
    return holds(host_blocks_, p, 1) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
  }
  /// Whether all bytes lie in one block of the device. No bytes lie anywhere.
  bool on_device(const void* p, size_t bytes) {
    const std::lock_guard lock(mutex_);
    return bytes == 0 || holds(blocks_, p, bytes);
  }

  MemoryStatistics statistics() {
    const std::lock_guard lock(mutex_);
    MemoryStatistics result = statistics_;
    result.blocks = blocks_.size();
    result.host_blocks = host_blocks_.size();
    return result;
  }
  size_t memory() {
    const std::lock_guard lock(mutex_);
    return memory_;
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  void set_memory(size_t bytes) {
    const std::lock_guard lock(mutex_);
    memory_ = bytes;
  }
  void set_count(int count) {
    const std::lock_guard lock(mutex_);
    count_ = count;
  }
  void set_failing(int64_t count) {
    const std::lock_guard lock(mutex_);
    failing_ = count;
  }
  void set_forbidden(bool forbidden) {
    const std::lock_guard lock(mutex_);
    forbidden_ = forbidden;
  }

  void request_shared(const void* kernel, size_t bytes) {
    const std::lock_guard lock(mutex_);
    shared_[kernel] = bytes;
  }
  std::optional<size_t> requested_shared(const void* kernel) {
    const std::lock_guard lock(mutex_);
    const auto found = shared_.find(kernel);
    return found == shared_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  Device() {
    if (const char* const bytes = std::getenv("TESSERA_EMULATOR_MEMORY")) memory_ = std::strtoull(bytes, nullptr, 10);
  }
  void check_allowed(const char* call) const {
    if (forbidden_) throw KernelError(std::string(call) + " where no allocation is allowed");
  }

  std::mutex mutex_;
  Blocks blocks_, host_blocks_;
  std::unordered_map<const void*, size_t> shared_;
  MemoryStatistics statistics_;
  size_t memory_ = size_t{8} << 30;
  int count_ = 1;
  int64_t failing_ = 0;
  bool forbidden_ = false;
};

bool exists(int device) { return device >= 0 && device < Device::get().count(); }
cudaError_t no_device() { return Device::get().count() == 0 ? cudaErrorNoDevice : cudaErrorInvalidDevice; }

/// Whether both sides are where `kind` says.
bool fits(const void* to, const void* from, size_t to_bytes, size_t from_bytes, cudaMemcpyKind kind) {
  Device& device = Device::get();
  const auto good = [&](const void* p, size_t bytes, bool expected) {
    if (bytes == 0) return true;
    if (device.on_device(p, bytes)) return expected;
    return !expected && device.type_of(p) != cudaMemoryTypeDevice;
  };
  if (kind == cudaMemcpyDefault) return true;
  return good(to, to_bytes, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) &&
         good(from, from_bytes, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice);
}

}  // namespace

void set_device_memory(size_t bytes) { Device::get().set_memory(bytes); }
void fail_allocations(int64_t count) { Device::get().set_failing(count); }
void forbid_allocations(bool forbidden) { Device::get().set_forbidden(forbidden); }
void set_device_count(int count) { Device::get().set_count(count); }
MemoryStatistics memory_statistics() { return Device::get().statistics(); }
std::optional<size_t> requested_shared(const void* kernel) { return Device::get().requested_shared(kernel); }

}  // namespace tessera::emulation

using tessera::emulation::Device;
using tessera::emulation::noted;

// Devices.

cudaError_t cudaGetDeviceCount(int* count) {
  *count = Device::get().count();
  return noted(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int device) {
  if (!tessera::emulation::exists(device)) return noted(tessera::emulation::no_device());
  tessera::emulation::current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = tessera::emulation::current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!tessera::emulation::exists(device)) return noted(tessera::emulation::no_device());
  *properties = cudaDeviceProp{.name = "emulated",
                               .totalGlobalMem = Device::get().memory(),
                               .sharedMemPerBlock = tessera::emulation::kSharedWithoutAsking,
                               .sharedMemPerBlockOptin = tessera::emulation::kSharedMost,
                               .sharedMemPerMultiprocessor = kSharedOfMultiprocessor,
                               .regsPerBlock = 65536,
                               .warpSize = kLanesOfWarp,
                               .maxThreadsPerBlock = kMostThreadsOfBlock,
                               .maxThreadsDim = {kMostThreadsOfBlock, kMostThreadsOfBlock, 64},
                               .maxGridSize = {0x7fffffff, 65535, 65535},
                               .major = kMajor,
                               .minor = 0,
                               .multiProcessorCount = kMultiprocessors,
                               .l2CacheSize = kCache,
                               .maxThreadsPerMultiProcessor = kMostThreadsOfMultiprocessor,
                               .pciBusID = device,
                               .pciDeviceID = 0,
                               .pciDomainID = 0};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!tessera::emulation::exists(device)) return noted(tessera::emulation::no_device());
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = kMostThreadsOfBlock;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(tessera::emulation::kSharedWithoutAsking);
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = kLanesOfWarp;
      return cudaSuccess;
    case cudaDevAttrClockRate:
      *value = kClockKiloHertz;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = kMultiprocessors;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = kCache;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = kMostThreadsOfMultiprocessor;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = kMajor;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(kSharedOfMultiprocessor);
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(tessera::emulation::kSharedMost);
      return cudaSuccess;
  }
  return noted(cudaErrorInvalidValue);
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = Device::get().memory();
  *free = *total - std::min(*total, tessera::emulation::memory_statistics().bytes);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

// Memory.

cudaError_t cudaMalloc(void** p, size_t bytes) { return noted(Device::get().allocate(p, bytes, false)); }
cudaError_t cudaFree(void* p) { return noted(Device::get().release(p, false)); }
cudaError_t cudaMallocHost(void** p, size_t bytes) { return noted(Device::get().allocate(p, bytes, true)); }
cudaError_t cudaFreeHost(void* p) { return noted(Device::get().release(p, true)); }
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) { return cudaMallocHost(p, bytes); }
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  const cudaMemoryType type = Device::get().type_of(p);
  void* const pointer = const_cast<void*>(p);
  const bool device = type == cudaMemoryTypeDevice;
  *attributes = {type, device ? 0 : -1, type == cudaMemoryTypeUnregistered ? nullptr : pointer,
                 device ? nullptr : pointer};
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (!tessera::emulation::fits(to, from, bytes, bytes, kind)) return noted(cudaErrorInvalidValue);
  const bool pinned = kind == cudaMemcpyHostToDevice && Device::get().type_of(from) == cudaMemoryTypeHost;
  if (pinned && tessera::emulation::delay(stream, to, from, bytes)) return cudaSuccess;
  tessera::emulation::catch_up(stream);
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t) {
  if (width == 0 || height == 0) return cudaSuccess;
  const size_t to_bytes = (height - 1) * to_pitch + width, from_bytes = (height - 1) * from_pitch + width;
  if (width > to_pitch || width > from_pitch || !tessera::emulation::fits(to, from, to_bytes, from_bytes, kind)) {
    return noted(cudaErrorInvalidValue);
  }
  for (size_t i = 0; i < height; ++i) {
    std::memcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch, width);
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (!Device::get().on_device(to, bytes)) return noted(cudaErrorInvalidValue);
  tessera::emulation::catch_up(stream);
  if (bytes > 0) std::memset(to, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) { return cudaMemsetAsync(to, value, bytes); }

// Kernels.

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > tessera::emulation::kSharedMost) return noted(cudaErrorInvalidValue);
  Device::get().request_shared(kernel, static_cast<size_t>(value));
  return cudaSuccess;
}
