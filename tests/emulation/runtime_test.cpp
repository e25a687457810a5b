// The host's side: memory, streams, events and devices.
#include "tests/emulation/runtime.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/emulation/emulator.h"

namespace tessera::emulation {
namespace {

constexpr size_t kBytes = 1000;

TEST(Memory, IsFilledWithNaN) {
  void* device = nullptr;
  void* host = nullptr;
  ASSERT_EQ(cudaMalloc(&device, kBytes), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&host, kBytes), cudaSuccess);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(device) % 256, 0U);
  ASSERT_EQ(cudaMemcpyAsync(host, device, kBytes, cudaMemcpyDeviceToHost, nullptr), cudaSuccess);
  for (size_t i = 0; i < kBytes; ++i) ASSERT_EQ(static_cast<unsigned char*>(host)[i], 0xff);
  EXPECT_EQ(memory_statistics().bytes, kBytes);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
  EXPECT_EQ(memory_statistics().bytes, 0U);
  EXPECT_EQ(memory_statistics().blocks + memory_statistics().host_blocks, 0U);
}

TEST(Memory, HasALimit) {
  size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  const size_t before = total;
  set_device_memory(2 * kBytes);
  void* p = nullptr;
  void* q = nullptr;
  EXPECT_EQ(cudaMalloc(&p, kBytes), cudaSuccess);
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, kBytes);
  EXPECT_EQ(total, 2 * kBytes);
  EXPECT_EQ(cudaMalloc(&q, kBytes + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(q, nullptr);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&q, kBytes), cudaSuccess);
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  EXPECT_EQ(cudaFree(q), cudaSuccess);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  set_device_memory(before);
}

TEST(Memory, FailsWhenATestAsksForIt) {
  void* p = nullptr;
  fail_allocations(2);
  EXPECT_EQ(cudaMalloc(&p, 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMallocHost(&p, 1), cudaErrorMemoryAllocation);
  const int64_t calls = memory_statistics().mallocs;
  EXPECT_EQ(cudaMalloc(&p, 1), cudaSuccess);
  EXPECT_EQ(memory_statistics().mallocs, calls + 1);
  forbid_allocations(true);
  EXPECT_THROW((void)cudaMalloc(&p, 1), KernelError);
  EXPECT_THROW((void)cudaFree(p), KernelError);
  forbid_allocations(false);
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  (void)cudaGetLastError();
}

TEST(Memory, IsFreedOnceAndByItsOwn) {
  void* device = nullptr;
  void* host = nullptr;
  ASSERT_EQ(cudaMalloc(&device, kBytes), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&host, kBytes), cudaSuccess);
  EXPECT_EQ(cudaFree(host), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(device), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(static_cast<char*>(device) + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
  (void)cudaGetLastError();
}

TEST(Copies, HaveEachSideWhereItIsSaidToBe) {
  void* p = nullptr;
  ASSERT_EQ(cudaMalloc(&p, kBytes), cudaSuccess);
  auto* const device = static_cast<char*>(p);
  std::vector<char> host(kBytes, 'x');
  const auto copy = [](void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  };
  EXPECT_EQ(copy(device, host.data(), kBytes, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(copy(device, device + 500, 500, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(copy(device, host.data(), kBytes, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(copy(device, host.data(), kBytes, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(host.data(), device, kBytes, cudaMemcpyHostToHost), cudaErrorInvalidValue);
  EXPECT_EQ(copy(device + 1, host.data(), kBytes, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(device, 0, kBytes), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(device, 0, kBytes + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(host.data(), 0, kBytes), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy2DAsync(host.data(), 10, device, 20, 5, 50, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(std::string(host.data(), 10), std::string(5, '\0') + "xxxxx");
  EXPECT_EQ(cudaMemcpy2DAsync(host.data(), 10, device, 20, 5, 51, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(copy(nullptr, nullptr, 0, cudaMemcpyHostToDevice), cudaSuccess);

  cudaPointerAttributes attributes{};
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, device + 999), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, host.data()), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  (void)cudaGetLastError();
}

TEST(Streams, AndEventsAreHandles) {
  cudaStream_t stream = nullptr;
  cudaEvent_t start = nullptr, end = nullptr, untimed = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming), cudaSuccess);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(start, stream), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end, nullptr), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(untimed, stream), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0.0f);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamWaitEvent(stream, end, cudaEventWaitDefault), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(end), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  for (const cudaEvent_t event : {start, end, untimed}) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(end), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  EXPECT_STREQ(cudaGetErrorName(cudaGetLastError()), "cudaErrorInvalidResourceHandle");
}

TEST(LateCopies, ComeWhenSomethingWaitsForThem) {
  cudaStream_t stream = nullptr, other = nullptr;
  cudaEvent_t early = nullptr, event = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  ASSERT_EQ(cudaStreamCreate(&other), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&early), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  void *device = nullptr, *pinned = nullptr;
  ASSERT_EQ(cudaMalloc(&device, 1), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&pinned, 1), cudaSuccess);
  auto &from = *static_cast<char*>(pinned), &to = *static_cast<char*>(device);
  delay_copies(true);
  const auto copy = [&](char value) {
    from = value;
    EXPECT_EQ(cudaMemcpyAsync(device, pinned, 1, cudaMemcpyHostToDevice, stream), cudaSuccess);
  };
  EXPECT_EQ(cudaEventRecord(early, stream), cudaSuccess);
  copy('a');
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(early), cudaSuccess);
  EXPECT_NE(to, 'a') << "recorded before the copy";
  EXPECT_EQ(cudaStreamWaitEvent(other, event), cudaSuccess);
  EXPECT_EQ(to, 'a');
  copy('b');
  from = 'c';  // too early
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(to, 'c') << "the copy reads what is there when it comes";
  copy('d');
  const char pageable = 'e';
  EXPECT_EQ(cudaMemcpyAsync(device, &pageable, 1, cudaMemcpyHostToDevice, stream), cudaSuccess);
  EXPECT_EQ(to, 'e') << "one stream keeps its order";
  delay_copies(false);
  copy('f');
  EXPECT_EQ(to, 'f');
  for (const cudaEvent_t e : {early, event}) EXPECT_EQ(cudaEventDestroy(e), cudaSuccess);
  for (const cudaStream_t s : {stream, other}) EXPECT_EQ(cudaStreamDestroy(s), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST(Devices, LookLikeAnH100) {
  int count = 0, major = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_STREQ(properties.name, "emulated");
  EXPECT_EQ(properties.major, 9);
  EXPECT_EQ(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), cudaSuccess);
  EXPECT_EQ(major, 9);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  set_device_count(0);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaErrorNoDevice);
  set_device_count(1);
  EXPECT_STREQ(cudaGetErrorString(cudaGetLastError()), "no CUDA-capable device is detected");
}

}  // namespace
}  // namespace tessera::emulation
