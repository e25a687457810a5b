// Bugs planted in small kernels, each of which the emulator must find; and kernels without any, which must run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "tests/emulation/planted.h"

namespace tessera::cuda {
cudaStream_t stream_of(Context&) { return nullptr; }
void launched(const char*, cudaStream_t) {}
}  // namespace tessera::cuda

namespace tessera::emulation {
namespace {

using cuda::gpu_launch;
using cuda::kFullMask;
using Floats = std::vector<float>;

constexpr int kThreads = 64;

Floats counting(int n) {
  Floats result(static_cast<size_t>(n));
  std::iota(result.begin(), result.end(), 1.0f);
  return result;
}

// Kernels without bugs.

__global__ void reverse_kernel(const float* x, float* y, int step) {
  GPU_SHARED(float, tile, [kThreads]);
  for (int i = 0; i < step; ++i) {
    tile[threadIdx.x] = x[blockIdx.x * kThreads + threadIdx.x];
    __syncthreads();
    y[blockIdx.x * kThreads + threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
    __syncthreads();
  }
}
__global__ void sum_kernel(const float* x, float* sums) {
  GPU_DYNAMIC_SHARED(float, parts);
  const float sum = cuda::block_sum<kThreads / 32>(x[blockIdx.x * kThreads + threadIdx.x], parts);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

TEST(Kernels, WithoutBugsRunInEveryOrder) {
  const Floats x = counting(5 * kThreads);
  in_each_order([&] {
    Floats y(x.size()), sums(5);
    GPU_LAUNCH(reverse_kernel, dim3(5), dim3(kThreads), 0, nullptr, x.data(), y.data(), 3);
    GPU_LAUNCH(sum_kernel, dim3(5), dim3(kThreads), 64, nullptr, x.data(), sums.data());
    for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], x[i / kThreads * kThreads + kThreads - 1 - i % kThreads]);
    for (size_t b = 0; b < 5; ++b) {
      ASSERT_EQ(sums[b], std::accumulate(&x[b * kThreads], &x[b * kThreads] + kThreads, 0.0f));
    }
  });
}

__global__ void places_kernel(unsigned* count) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  ++count[block * 24 + thread];
}
TEST(Kernels, EachThreadOfEachBlockRunsOnce) {
  in_each_order([&] {
    std::vector<unsigned> count(30 * 24);
    GPU_LAUNCH(places_kernel, dim3(2, 3, 5), dim3(4, 3, 2), 0, nullptr, count.data());
    for (const unsigned n : count) ASSERT_EQ(n, 1U);
  });
}

// Barriers.

__global__ void missing_barrier_kernel(const float* x, float* y) {
  GPU_SHARED(float, tile, [kThreads]);
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}
TEST(Barriers, OneThatIsMissingLeavesNaN) {
  SKIP_WHERE_RACES_ARE_REPORTED();
  const Floats x = counting(kThreads);
  for (const Order order : {Order::forward, Order::reverse}) {
    Floats y(kThreads);
    in_order(order,
             [&] { GPU_LAUNCH(missing_barrier_kernel, dim3(1), dim3(kThreads), 0, nullptr, x.data(), y.data()); });
    for (int i = 0; i < kThreads; ++i) {
      const bool early = order == Order::forward ? i < kThreads / 2 : i >= kThreads / 2;
      EXPECT_EQ(std::isnan(y[static_cast<size_t>(i)]), early) << i;
    }
  }
}

/// Lacks the barrier after the reads: fast threads overwrite what slow ones have not read.
__global__ void overwriting_kernel(float* y) {
  GPU_SHARED(float, tile, [kThreads]);
  float sum = 0;
  for (int i = 0; i < 2; ++i) {
    tile[threadIdx.x] = static_cast<float>(i + 1);
    __syncthreads();
    sum += tile[kThreads - 1 - threadIdx.x];
  }
  y[threadIdx.x] = sum;
}
TEST(Barriers, OneThatIsMissingAfterReadsChangesResults) {
  SKIP_WHERE_RACES_ARE_REPORTED();
  for (const Order order : {Order::forward, Order::reverse}) {
    Floats y(kThreads);
    in_order(order, [&] { GPU_LAUNCH(overwriting_kernel, dim3(1), dim3(kThreads), 0, nullptr, y.data()); });
    EXPECT_NE(y, Floats(kThreads, 3.0f));
  }
}

__global__ void divergent_barrier_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
TEST(Barriers, AtTwoPlacesAreDivergent) {
  const auto run = [] { GPU_LAUNCH(divergent_barrier_kernel, dim3(1), dim3(kThreads), 0, nullptr); };
  expect_failure("divergent __syncthreads", run);
  const std::string message = error_of(run);
  EXPECT_NE(message.find("kernel divergent_barrier_kernel: "), std::string::npos) << message;
  EXPECT_NE(message.find("emulator_test.cpp:"), std::string::npos) << message;
  EXPECT_NE(message.find("block (0,0,0) thread (32,0,0)"), std::string::npos) << message;
}

__global__ void deadlock_kernel() {
  if (threadIdx.x < 16) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}
TEST(Barriers, ThatNeverOpenAreADeadlock) {
  const auto run = [] { GPU_LAUNCH(deadlock_kernel, dim3(2), dim3(32), 0, nullptr); };
  expect_failure("deadlock: thread (0,0,0) waits for its warp at emulator_test.cpp:", run);
  expect_failure("32 threads wait in all", run);
}

__global__ void leaving_kernel(int* y) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
  y[threadIdx.x] = __syncthreads_count(1);
}
TEST(Barriers, DoNotWaitForThreadsThatHaveExited) {
  in_each_order([&] {
    std::vector<int> y(40);
    GPU_LAUNCH(leaving_kernel, dim3(1), dim3(kThreads), 0, nullptr, y.data());
    EXPECT_EQ(y, std::vector<int>(40, 40));
  });
}

__global__ void votes_kernel(int* y) {
  const int t = static_cast<int>(threadIdx.x);
  int wrong = 0;
  for (int i = 0; i < 5; ++i) {
    wrong += __syncthreads_count(t < 10 * i) != 10 * i;
    wrong += __syncthreads_or(t == 63 && i == 2) != (i == 2);
    wrong += __syncthreads_and(t != 63 || i == 2) != (i == 2);
  }
  y[t] = wrong;
}
TEST(Barriers, CountVotes) {
  in_each_order([&] {
    std::vector<int> y(kThreads, -1);
    GPU_LAUNCH(votes_kernel, dim3(1), dim3(kThreads), 0, nullptr, y.data());
    EXPECT_EQ(y, std::vector<int>(kThreads, 0));
  });
}

// Warps.

__global__ void shuffles_kernel(int* y) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int wrong = 0;
  wrong += __shfl_sync(kFullMask, lane, 5) != 5;
  wrong += __shfl_sync(kFullMask, lane, 3, 8) != lane / 8 * 8 + 3;
  wrong += __shfl_xor_sync(kFullMask, lane, 16) != (lane ^ 16);
  wrong += __shfl_xor_sync(kFullMask, lane, 4, 4) != (lane & ~4);  // an earlier segment may be read, a later one not
  wrong += __shfl_down_sync(kFullMask, lane, 3) != (lane + 3 < 32 ? lane + 3 : lane);
  wrong += __shfl_up_sync(kFullMask, lane, 3, 16) != (lane % 16 >= 3 ? lane - 3 : lane);
  wrong += __shfl_sync(kFullMask, 0.5 * lane, lane + 1) != 0.5 * ((lane + 1) % 32);
  wrong += __ballot_sync(kFullMask, lane % 2) != 0xaaaaaaaau;
  wrong += !__any_sync(kFullMask, lane == 7);
  wrong += __all_sync(kFullMask, lane != 7);
  if (lane < 8) wrong += __shfl_sync(0xffu, lane, 7) != 7;
  y[threadIdx.x] = wrong;
}
TEST(Warps, ShuffleAndVote) {
  in_each_order([&] {
    std::vector<int> y(kThreads, -1);
    GPU_LAUNCH(shuffles_kernel, dim3(1), dim3(kThreads), 0, nullptr, y.data());
    EXPECT_EQ(y, std::vector<int>(kThreads, 0));
  });
}

__global__ void exited_lane_kernel(float* y, unsigned gone) {
  if (threadIdx.x == gone) return;
  y[threadIdx.x] = cuda::warp_sum(1.0f);
}
TEST(Warps, NameNoLaneThatHasExited) {
  Floats y(32);
  const auto run = [&](unsigned gone) {
    return error_of([&] { GPU_LAUNCH(exited_lane_kernel, dim3(1), dim3(32), 0, nullptr, y.data(), gone); });
  };
  EXPECT_NE(run(0).find("the mask names lanes that do not exist or have exited"), std::string::npos) << run(0);
  EXPECT_NE(run(31).find("a lane that others wait for"), std::string::npos) << run(31);
  expect_failure("exited", [&] { GPU_LAUNCH(exited_lane_kernel, dim3(1), dim3(32), 0, nullptr, y.data(), 5U); });
  EXPECT_EQ(run(99), "");
  // The last warp of a block of 40 threads has 8 lanes.
  Floats z(40);
  expect_failure("do not exist", [&] { GPU_LAUNCH(exited_lane_kernel, dim3(1), dim3(40), 0, nullptr, z.data(), 99U); });
}

__global__ void divergent_warp_kernel(int* y) {
  if (threadIdx.x < 16) {
    y[threadIdx.x] = __shfl_sync(kFullMask, 1, 0);
  } else {
    y[threadIdx.x] = __shfl_sync(kFullMask, 2, 0);
  }
}
__global__ void masks_kernel(int* y) {
  y[threadIdx.x] = __shfl_sync(threadIdx.x < 16 ? 0x1ffffu : kFullMask, 1, static_cast<int>(threadIdx.x));
}
__global__ void not_named_kernel(int* y) { y[threadIdx.x] = __shfl_sync(0xffffu, 1, 0); }
__global__ void silent_source_kernel(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xffffu, 1, 20);
}
__global__ void active_mask_kernel(int* y) { y[threadIdx.x] = __shfl_sync(__activemask(), 1, 0); }
TEST(Warps, MeetAtOnePlaceWithOneMask) {
  std::vector<int> y(32);
  const auto with = [&](void (*kernel)(int*)) {
    return [&y, kernel] { gpu_launch("planted", kernel, dim3(1), dim3(32), 0, nullptr, y.data()); };
  };
  expect_failure("divergent warp", with(divergent_warp_kernel));
  expect_failure("with another mask", with(masks_kernel));
  expect_failure("whose mask does not name it", with(not_named_kernel));
  expect_failure("__shfl_sync reads a lane that is not in the mask", with(silent_source_kernel));
  expect_failure("__shfl_sync reads a lane that is not in the mask", with(active_mask_kernel));
}

/// Trusts that the lanes of a warp run in step.
template <bool kInOrder>
__global__ void in_step_kernel(float* y) {
  GPU_SHARED(float, tile, [32]);
  tile[threadIdx.x] = 1.0f;
  if constexpr (kInOrder) __syncwarp();
  y[threadIdx.x] = tile[threadIdx.x ^ 1];
}
TEST(Warps, DoNotRunInStep) {
  SKIP_WHERE_RACES_ARE_REPORTED();
  in_each_order([&] {
    Floats y(32);
    GPU_LAUNCH((in_step_kernel<false>), dim3(1), dim3(32), 0, nullptr, y.data());
    EXPECT_EQ(std::ranges::count_if(y, [](float v) { return std::isnan(v); }), 16);
    GPU_LAUNCH((in_step_kernel<true>), dim3(1), dim3(32), 0, nullptr, y.data());
    EXPECT_EQ(y, Floats(32, 1.0f));
  });
}

// Shared memory.

__global__ void uninitialised_kernel(float* y) {
  GPU_SHARED(float, fixed, [kThreads]);
  GPU_DYNAMIC_SHARED(float, tile);
  if (threadIdx.x < 63) fixed[threadIdx.x] = tile[threadIdx.x] = 1.0f;
  __syncthreads();
  y[2 * blockIdx.x * kThreads + threadIdx.x] = fixed[threadIdx.x];
  y[(2 * blockIdx.x + 1) * kThreads + threadIdx.x] = tile[threadIdx.x];
  __syncthreads();
  fixed[threadIdx.x] = tile[threadIdx.x] = 2.0f;  // no block finds what another left
}
TEST(SharedMemory, IsNaNAtFirst) {
  in_each_order([&] {
    Floats y(6 * kThreads);
    GPU_LAUNCH(uninitialised_kernel, dim3(3), dim3(kThreads), kThreads * sizeof(float), nullptr, y.data());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i % kThreads == 63) << i;
  });
}

__global__ void overrun_kernel(float* y, int at, bool dynamic) {
  GPU_SHARED(float, tile, [kThreads]);
  GPU_DYNAMIC_SHARED(float, rest);
  float* const p = dynamic ? rest : tile;
  if (y == nullptr) {
    p[at] = 1.0f;
  } else {
    *y = p[at];
  }
}
void overrun(float* y, int at, bool dynamic) {
  GPU_LAUNCH(overrun_kernel, dim3(1), dim3(1), kThreads * sizeof(float), nullptr, y, at, dynamic);
}
TEST(SharedMemory, HasRedZones) {
  overrun(nullptr, 0, false);
  overrun(nullptr, kThreads - 1, true);
#if defined(__SANITIZE_ADDRESS__)
  for (const bool dynamic : {false, true}) {
    float y = 0;
    EXPECT_DEATH(overrun(nullptr, kThreads, dynamic), "AddressSanitizer");
    EXPECT_DEATH(overrun(&y, kThreads, dynamic), "AddressSanitizer");
    EXPECT_DEATH(overrun(nullptr, -3, dynamic), "AddressSanitizer");
  }
#else
  expect_failure("writes beyond its shared memory tile", [] { overrun(nullptr, kThreads, false); });
  expect_failure("writes beyond its shared memory tile", [] { overrun(nullptr, -1, false); });
  expect_failure("writes beyond its shared memory dynamic", [] { overrun(nullptr, kThreads + 3, true); });
  for (const int at : {-1, kThreads}) {
    float y = 0;
    overrun(&y, at, true);
    EXPECT_TRUE(std::isnan(y));
  }
  overrun(nullptr, 0, false);  // what was found once is not found again
#endif
}

template <size_t kBytes>
__global__ void large_kernel() {
  GPU_SHARED(unsigned char, tile, [kBytes]);
  tile[0] = 1;
}
__global__ void dynamic_kernel() {}
__global__ void asking_kernel() {}
TEST(SharedMemory, HasTheLimitsOfTheDevice) {
  constexpr size_t kK = 1024;
  const auto with = [](void (*kernel)(), size_t bytes) {
    return error_of([&] { launch("planted", reinterpret_cast<const void*>(kernel), 1, 1, bytes, kernel); });
  };
  EXPECT_EQ(with(large_kernel<48 * kK>, 0), "");
  EXPECT_NE(with(large_kernel<48 * kK + 1>, 0).find("49153 bytes of static shared memory"), std::string::npos);
  EXPECT_EQ(with(large_kernel<8 * kK>, 40 * kK), "");
  EXPECT_NE(with(large_kernel<8 * kK>, 41 * kK).find("expected at most 49152 together"), std::string::npos);

  EXPECT_EQ(with(dynamic_kernel, 48 * kK), "");
  EXPECT_NE(with(dynamic_kernel, 48 * kK + 1).find("without cudaFuncSetAttribute"), std::string::npos);
  const auto ask = [](auto* kernel, size_t bytes) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  };
  EXPECT_EQ(ask(dynamic_kernel, 100 * kK), cudaSuccess);
  EXPECT_EQ(with(dynamic_kernel, 100 * kK), "");
  EXPECT_NE(with(dynamic_kernel, 101 * kK).find("103424 bytes of dynamic"), std::string::npos);
  EXPECT_EQ(ask(dynamic_kernel, 227 * kK), cudaSuccess);
  EXPECT_EQ(ask(dynamic_kernel, 227 * kK + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(with(dynamic_kernel, 227 * kK), "");
  EXPECT_NE(with(dynamic_kernel, 227 * kK + 1), "");
  EXPECT_EQ(ask(large_kernel<kK>, 227 * kK), cudaSuccess);
  EXPECT_NE(with(large_kernel<kK>, 227 * kK).find("expected at most 232448 together"), std::string::npos);
  // GPU_LAUNCH asks by itself.
  GPU_LAUNCH(asking_kernel, dim3(1), dim3(1), 100 * kK, nullptr);
}

__global__ void alignment_kernel(uintptr_t* y) {
  GPU_SHARED(float, floats, [3]);
  GPU_SHARED(double, doubles, [3]);
  GPU_DYNAMIC_SHARED(float4, tile);
  y[0] = reinterpret_cast<uintptr_t>(&floats) % 8;
  y[1] = reinterpret_cast<uintptr_t>(&doubles) % 16;
  y[2] = reinterpret_cast<uintptr_t>(tile) % 32;
}
TEST(SharedMemory, IsAlignedAsAskedAndNoMore) {
  std::vector<uintptr_t> y(3);
  GPU_LAUNCH(alignment_kernel, dim3(1), dim3(1), 16, nullptr, y.data());
  EXPECT_EQ(y, (std::vector<uintptr_t>{4, 8, 16}));
}

// Launches.

__global__ void nothing_kernel() {}
TEST(Launches, ThatTheDeviceRefusesAreRefused) {
  const auto with = [](dim3 grid, dim3 block) {
    return error_of([&] { GPU_LAUNCH(nothing_kernel, grid, block, 0, nullptr); });
  };
  for (const dim3 grid : {dim3(0), dim3(1, 0), dim3(1, 1, 0), dim3(1, 65536), dim3(1, 1, 65536), dim3(0x80000000u)}) {
    EXPECT_NE(with(grid, 1).find("kernel nothing_kernel: launch refused: grid ("), std::string::npos);
  }
  for (const dim3 block : {dim3(0), dim3(1025), dim3(33, 32), dim3(1, 1, 65), dim3(65536, 65536)}) {
    EXPECT_NE(with(1, block).find("kernel nothing_kernel: launch refused: block ("), std::string::npos);
  }
  if (kRaceBuild) return;  // it has thousands of stacks to make for these
  EXPECT_EQ(with(dim3(1, 65535), dim3(1)), "");
  EXPECT_EQ(with(dim3(100000), dim3(1)), "");
  EXPECT_EQ(with(dim3(2, 1, 2), dim3(16, 1, 64)), "");
}

__global__ void launching_kernel() { GPU_LAUNCH(nothing_kernel, dim3(1), dim3(1), 0, nullptr); }
__global__ void throwing_kernel() {
  if (threadIdx.x == 3) throw std::runtime_error("a bad index");
  __syncthreads();
}
__global__ void trapping_kernel() { __trap(); }
TEST(Launches, FailWithWhatTheKernelThrew) {
  expect_failure("kernel launching_kernel: threw \"kernel nothing_kernel: launch refused: from inside a kernel\"",
                 [] { GPU_LAUNCH(launching_kernel, dim3(1), dim3(1), 0, nullptr); });
  expect_failure("threw \"a bad index\", block (0,0,0) thread (3,0,0)",
                 [] { GPU_LAUNCH(throwing_kernel, dim3(1), dim3(32), 0, nullptr); });
  expect_failure("__trap at emulator_test.cpp:", [] { GPU_LAUNCH(trapping_kernel, dim3(1), dim3(1), 0, nullptr); });
}

TEST(Launches, GoOnAfterAnError) {
  const Floats x = counting(kThreads);
  for (int i = 0; i < 20; ++i) {
    in_each_order([&] {
      EXPECT_NE(error_of([] { GPU_LAUNCH(deadlock_kernel, dim3(1), dim3(32), 0, nullptr); }), "");
      EXPECT_NE(error_of([] { GPU_LAUNCH(throwing_kernel, dim3(1), dim3(512), 0, nullptr); }), "");
      Floats y(kThreads);
      GPU_LAUNCH(reverse_kernel, dim3(1), dim3(kThreads), 0, nullptr, x.data(), y.data(), 1);
      ASSERT_EQ(y[0], x[kThreads - 1]);
    });
  }
}

// Orders and switches.

__global__ void turns_kernel(int* turn, int* next) { turn[threadIdx.x] = (*next)++; }
std::vector<int> turns(Order order, uint64_t seed) {
  std::vector<int> result(kThreads);
  int next = 0;
  config().seed = seed;
  in_order(order, [&] { GPU_LAUNCH(turns_kernel, dim3(1), dim3(kThreads), 0, nullptr, result.data(), &next); });
  config().seed = 1;
  return result;
}
TEST(Orders, AreForwardReverseAndRandom) {
  SKIP_WHERE_RACES_ARE_REPORTED();
  std::vector<int> forward(kThreads);
  std::iota(forward.begin(), forward.end(), 0);
  EXPECT_EQ(turns(Order::forward, 1), forward);
  EXPECT_EQ(turns(Order::reverse, 1), std::vector<int>(forward.rbegin(), forward.rend()));
  EXPECT_EQ(turns(Order::random, 1), turns(Order::random, 1));
  EXPECT_NE(turns(Order::random, 1), turns(Order::random, 2));
  EXPECT_NE(turns(Order::random, 1), forward);
}

TEST(Switches, AreFew) {
  if (kRaceBuild) GTEST_SKIP() << "under ThreadSanitizer each thread has a stack of its own";
  const auto switches = [](auto&& run) {
    const uint64_t before = statistics().switches;
    run();
    return statistics().switches - before;
  };
  // A thread that never waits runs where the one before it ended.
  std::vector<unsigned> count(30 * 24);
  EXPECT_EQ(switches([&] { GPU_LAUNCH(places_kernel, dim3(2, 3, 5), dim3(4, 3, 2), 0, nullptr, count.data()); }), 60U);
  // Two barriers: each thread begins, and goes on twice.
  Floats x(kThreads), y(kThreads);
  const auto two = [&] { GPU_LAUNCH(reverse_kernel, dim3(1), dim3(kThreads), 0, nullptr, x.data(), y.data(), 1); };
  EXPECT_LE(switches(two), 3U * kThreads + 1);
}

// Atomics.

template <class T>
concept HasAtomicAdd = requires(T* p) {
  atomicAdd(p, T(1));
};
template <class T>
concept HasAtomicExchange = requires(T* p) {
  atomicExch(p, T(1));
};
static_assert(HasAtomicAdd<int> && HasAtomicAdd<unsigned> && HasAtomicAdd<unsigned long long>);
static_assert(!HasAtomicAdd<float> && !HasAtomicAdd<double> && !HasAtomicAdd<__nv_bfloat16>,
              "sums by floating-point atomics depend on the schedule");
static_assert(!HasAtomicExchange<float> && !HasAtomicExchange<double>);

__global__ void atomics_kernel(unsigned* y) {
  atomicAdd(&y[0], 2u);
  atomicMax(&y[1], threadIdx.x);
  atomicMin(&y[2], threadIdx.x + 7);
  atomicOr(&y[3], 1u << threadIdx.x % 8);
  if (atomicCAS(&y[4], 0u, threadIdx.x + 1) == 0) atomicAdd(&y[5], 1u);
}
TEST(Atomics, WorkOnIntegers) {
  in_each_order([&] {
    std::vector<unsigned> y{0, 0, 1000, 0, 0, 0};
    GPU_LAUNCH(atomics_kernel, dim3(3), dim3(kThreads), 0, nullptr, y.data());
    EXPECT_EQ(y[0], 6U * kThreads);
    EXPECT_EQ(y[1], kThreads - 1U);
    EXPECT_EQ(y[2], 7U);
    EXPECT_EQ(y[3], 255U);
    EXPECT_NE(y[4], 0U);
    EXPECT_EQ(y[5], 1U);
  });
}

}  // namespace
}  // namespace tessera::emulation
