// What only a build with a sanitizer finds: races, and accesses outside of global memory.
#include <cstdlib>

#include "tests/emulation/planted.h"

namespace tessera::emulation {
namespace {

constexpr int kThreads = 64;

/// A number for each thread, and one more for `count` if there are as many threads.
[[maybe_unused]] __global__ void global_kernel(float* y, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= count) y[i] = 1.0f;
}

#if defined(__SANITIZE_ADDRESS__)
TEST(Global, OverrunsAreFound) {
  void* p = nullptr;
  ASSERT_EQ(cudaMalloc(&p, kThreads * sizeof(float)), cudaSuccess);
  auto* const y = static_cast<float*>(p);
  GPU_LAUNCH(global_kernel, dim3(2), dim3(kThreads), 0, nullptr, y, kThreads - 1);
  EXPECT_DEATH(GPU_LAUNCH(global_kernel, dim3(2), dim3(kThreads), 0, nullptr, y, kThreads), "AddressSanitizer");
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  EXPECT_DEATH(GPU_LAUNCH(global_kernel, dim3(1), dim3(1), 0, nullptr, y, 0), "heap-use-after-free");
}

__global__ void misaligned_kernel(float* y) {
  GPU_SHARED(float, tile, [8]);
  *reinterpret_cast<float4*>(tile) = float4{};
  y[0] = tile[0];
}
TEST(Global, MisalignedVectorsAreFound) {
  float y = 0;
  EXPECT_DEATH(GPU_LAUNCH(misaligned_kernel, dim3(1), dim3(1), 0, nullptr, &y), "misaligned address");
}
#else
TEST(Global, OverrunsAreFound) { GTEST_SKIP() << "needs AddressSanitizer"; }
#endif

#if defined(__SANITIZE_THREAD__)
/// Runs the statement in a process of its own, and expects that ThreadSanitizer reports a race in it or does not.
#define EXPECT_RACE(...) EXPECT_EXIT(run_and_exit([&] { __VA_ARGS__; }), testing::ExitedWithCode(66), "data race")
#define EXPECT_NO_RACE(...) EXPECT_EXIT(run_and_exit([&] { __VA_ARGS__; }), testing::ExitedWithCode(0), "^$")

/// A process that is forked while fibers exist has no reports: each statement runs in one that begins anew.
class Races : public testing::Test {
 protected:
  Races() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

template <class F>
[[noreturn]] void run_and_exit(F&& f) {
  f();
  std::exit(0);
}

template <bool kBarrier>
__global__ void exchange_kernel(float* y) {
  GPU_SHARED(float, tile, [kThreads]);
  tile[threadIdx.x] = 1.0f;
  if constexpr (kBarrier) __syncthreads();
  y[blockIdx.x * kThreads + threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}
TEST_F(Races, BetweenThreadsOfABlock) {
  float y[3 * kThreads];
  EXPECT_RACE(GPU_LAUNCH((exchange_kernel<false>), dim3(1), dim3(kThreads), 0, nullptr, &y[0]));
  EXPECT_NO_RACE(GPU_LAUNCH((exchange_kernel<true>), dim3(3), dim3(kThreads), 0, nullptr, &y[0]));
}

/// The same value, written twice: no order shows it.
__global__ void same_value_kernel(float* y) {
  if (threadIdx.x % 32 == 0) *y = 1.0f;
}
TEST_F(Races, WhoseResultIsTheSame) {
  float y = 0;
  EXPECT_RACE(GPU_LAUNCH(same_value_kernel, dim3(1), dim3(kThreads), 0, nullptr, &y));
}

TEST_F(Races, BetweenBlocks) {
  float y[4 * kThreads] = {};
  EXPECT_RACE(GPU_LAUNCH(same_value_kernel, dim3(2), dim3(32), 0, nullptr, &y[0]));
  EXPECT_NO_RACE(GPU_LAUNCH(global_kernel, dim3(4), dim3(kThreads), 0, nullptr, &y[0], 4 * kThreads - 1));
  // One launch after the other is no race.
  EXPECT_NO_RACE(for (int i = 0; i < 3; ++i) GPU_LAUNCH(same_value_kernel, dim3(1), dim3(32), 0, nullptr, &y[0]));
}

/// Each block writes before its barrier what the others read after theirs: barriers order no blocks.
__global__ void barrier_between_kernel(float* y, float* z) {
  if (threadIdx.x == 0 && blockIdx.x == 0) *y = 1.0f;
  __syncthreads();
  __syncwarp();
  __syncthreads();
  __syncwarp();
  if (threadIdx.x == 1 && blockIdx.x == 1) *z = *y;
}
TEST_F(Races, AreNotHiddenByBarriersOfOtherBlocks) {
  float y = 0, z = 0;
  EXPECT_RACE(GPU_LAUNCH(barrier_between_kernel, dim3(2), dim3(kThreads), 0, nullptr, &y, &z));
}

/// Only __syncwarp orders memory. A shuffle does not.
template <bool kOrdered>
__global__ void warp_kernel(float* y) {
  GPU_SHARED(float, tile, [32]);
  tile[threadIdx.x] = 1.0f;
  const int other = __shfl_xor_sync(cuda::kFullMask, static_cast<int>(threadIdx.x), 1);
  if constexpr (kOrdered) __syncwarp();
  y[threadIdx.x] = tile[other];
}
TEST_F(Races, BetweenLanesOfAWarp) {
  float y[32];
  EXPECT_RACE(GPU_LAUNCH((warp_kernel<false>), dim3(1), dim3(32), 0, nullptr, &y[0]));
  EXPECT_NO_RACE(GPU_LAUNCH((warp_kernel<true>), dim3(1), dim3(32), 0, nullptr, &y[0]));
}

/// Halves of a warp that meet apart do not order each other.
__global__ void halves_kernel(float* y) {
  GPU_SHARED(float, tile, [32]);
  tile[threadIdx.x] = 1.0f;
  __syncwarp(threadIdx.x < 16 ? 0xffffu : 0xffff0000u);
  y[threadIdx.x] = tile[threadIdx.x ^ 16];
}
TEST_F(Races, BetweenHalvesOfAWarp) {
  float y[32];
  EXPECT_RACE(GPU_LAUNCH(halves_kernel, dim3(1), dim3(32), 0, nullptr, &y[0]));
}

/// Who runs ahead to the next barrier is not ordered before who leaves this one.
__global__ void ahead_kernel(float* y) {
  __syncthreads();
  if (threadIdx.x == 0) *y = 1.0f;
  if (threadIdx.x == 63) y[1] = *y;
  __syncthreads();
}
TEST_F(Races, AreNotHiddenByTheNextBarrier) {
  float y[2] = {};
  EXPECT_RACE(GPU_LAUNCH(ahead_kernel, dim3(1), dim3(kThreads), 0, nullptr, &y[0]));
}

template <bool kFence>
__global__ void last_block_kernel(float* parts, unsigned* done, float* y) {
  parts[blockIdx.x] = 1.0f;
  if constexpr (kFence) __threadfence();
  if (atomicAdd(done, 1u) + 1 < gridDim.x) return;
  for (unsigned i = 0; i < gridDim.x; ++i) *y += parts[i];
}
TEST_F(Races, OfAtomicsWithoutAFence) {
  float parts[5], y = 0;
  unsigned done = 0;
  EXPECT_RACE(GPU_LAUNCH((last_block_kernel<false>), dim3(5), dim3(1), 0, nullptr, &parts[0], &done, &y));
  EXPECT_NO_RACE(GPU_LAUNCH((last_block_kernel<true>), dim3(5), dim3(1), 0, nullptr, &parts[0], &done, &y));
}

/// A copy of one thread, read by another after a barrier of the block only if the copy was waited for before it.
template <bool kBarrier>
__global__ void copy_kernel(const float* x, float* y) {
  GPU_DYNAMIC_SHARED(float, tile);
  cuda::cp_async16(tile + threadIdx.x * 4, x + threadIdx.x * 4);
  cuda::cp_async_commit();
  cuda::cp_async_wait<0>();
  if constexpr (kBarrier) __syncthreads();
  y[threadIdx.x] = tile[(31 - threadIdx.x) * 4];
}
TEST_F(Races, OfAsyncCopies) {
  alignas(16) static float x[128];
  float y[32];
  EXPECT_RACE(GPU_LAUNCH((copy_kernel<false>), dim3(1), dim3(32), 512, nullptr, &x[0], &y[0]));
  EXPECT_NO_RACE(GPU_LAUNCH((copy_kernel<true>), dim3(1), dim3(32), 512, nullptr, &x[0], &y[0]));
}
#else
TEST(Races, BetweenThreadsAndBlocks) { GTEST_SKIP() << "needs ThreadSanitizer"; }
#endif

}  // namespace
}  // namespace tessera::emulation
