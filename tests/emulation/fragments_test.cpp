// Fragments against plain products, and asynchronous copies that a kernel uses too early or too late.
#include <algorithm>

#include "tests/emulation/planted.h"

namespace tessera::emulation {
namespace {

using Floats = std::vector<float>;

constexpr int kRows = 16, kColumns = 8, kSteps = 16;

/// Numbers that bf16 holds exactly, and whose products sum exactly in f32.
bfloat16 number(int i) { return bfloat16(static_cast<float>(i * 37 % 17 - 8)); }

struct Operands {
  bfloat16 left[kRows][kSteps], right[kSteps][kColumns];
};
Operands operands() {
  Operands result;
  for (int i = 0; i < kRows * kSteps; ++i) result.left[i / kSteps][i % kSteps] = number(i + 3);
  for (int i = 0; i < kSteps * kColumns; ++i) result.right[i / kColumns][i % kColumns] = number(2 * i + 1);
  return result;
}
Floats product(const Operands& x) {
  Floats result(kRows * kColumns, 1.0f);
  for (int i = 0; i < kRows * kColumns; ++i) {
    for (int k = 0; k < kSteps; ++k)
      result[static_cast<size_t>(i)] += x.left[i / kColumns][k] * x.right[k][i % kColumns];
  }
  return result;
}

uint32_t pair(bfloat16 low, bfloat16 high) { return low.bits | static_cast<uint32_t>(high.bits) << 16; }

/// The layouts of the PTX ISA for mma.m16n8k16: of a, rows lane / 4 (+ 8 in registers 1 and 3), steps 2 (lane % 4) and
/// the next (+ 8 in registers 2 and 3); of b, column lane / 4, steps as in a; of c, rows and columns likewise.
__global__ void product_kernel(const Operands* x, float* y, bool swapped) {
  const int group = static_cast<int>(threadIdx.x) / 4;
  const int two = static_cast<int>(threadIdx.x) % 4 * 2;
  uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) {
    const bfloat16* const from = &x->left[group + (i & 1) * 8][two + (i >> 1) * 8];
    a[i] = pair(from[0], from[1]);
  }
  for (int i = 0; i < 2; ++i) b[i] = pair(x->right[two + i * 8][group], x->right[two + i * 8 + 1][group]);
  if (swapped) std::swap(a[1], a[2]);
  float c[4] = {1, 1, 1, 1};
  cuda::mma_16816(c, a, b);
  for (int i = 0; i < 4; ++i) y[(group + i / 2 * 8) * kColumns + two + i % 2] = c[i];
}
TEST(Fragments, MultiplyAsTheLayoutsSay) {
  const Operands x = operands();
  in_each_order([&] {
    Floats y(kRows * kColumns);
    GPU_LAUNCH(product_kernel, dim3(1), dim3(32), 0, nullptr, &x, y.data(), false);
    EXPECT_EQ(y, product(x));
    GPU_LAUNCH(product_kernel, dim3(1), dim3(32), 0, nullptr, &x, y.data(), true);
    EXPECT_NE(y, product(x));
  });
}

enum class Load { rows, columns, two_columns };
/// The same product with fragments from shared memory: a stored by rows or by steps, b by columns or by steps.
__global__ void loading_kernel(const Operands* x, float* y, Load load) {
  GPU_DYNAMIC_SHARED(bfloat16, tile);
  bfloat16* const left = tile;
  bfloat16* const right = tile + kRows * kSteps;
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < kRows * kSteps; i += 32) {
    const int row = i / kSteps, k = i % kSteps;
    left[load == Load::rows ? i : k * kRows + row] = x->left[row][k];
  }
  for (int i = lane; i < kSteps * kColumns; i += 32) right[i] = x->right[i / kColumns][i % kColumns];
  __syncwarp();
  uint32_t a[4], b[2];
  if (load == Load::rows) {
    cuda::ldmatrix_x4(a, left + lane % 16 * kSteps + lane / 16 * 8);
  } else {
    uint32_t t[4];
    cuda::ldmatrix_x4_trans(t, left + lane % 16 * kRows + lane / 16 * 8);
    a[0] = t[0], a[1] = t[2], a[2] = t[1], a[3] = t[3];
  }
  // Only 16 lanes give addresses.
  cuda::ldmatrix_x2_trans(b, lane < 16 ? right + lane * kColumns : nullptr);
  float c[4] = {1, 1, 1, 1};
  cuda::mma_16816(c, a, b);
  for (int i = 0; i < 4; ++i) y[(lane / 4 + i / 2 * 8) * kColumns + lane % 4 * 2 + i % 2] = c[i];
}
TEST(Fragments, AreLoadedFromSharedMemory) {
  const Operands x = operands();
  in_each_order([&] {
    for (const Load load : {Load::rows, Load::columns}) {
      Floats y(kRows * kColumns);
      GPU_LAUNCH(loading_kernel, dim3(1), dim3(32), 1024, nullptr, &x, y.data(), load);
      EXPECT_EQ(y, product(x));
    }
  });
}

__global__ void bad_row_kernel(const uint32_t* global, int shift) {
  GPU_DYNAMIC_SHARED(unsigned char, tile);
  uint32_t r[4];
  cuda::ldmatrix_x4(r, global != nullptr ? reinterpret_cast<const unsigned char*>(global) : tile + shift);
}
TEST(Fragments, ComeFromAlignedRowsOfSharedMemory) {
  alignas(16) const uint32_t global[4] = {};
  const auto with = [](const uint32_t* from, int shift) {
    return [=] { GPU_LAUNCH(bad_row_kernel, dim3(1), dim3(32), 64, nullptr, from, shift); };
  };
  with(nullptr, 0)();
  with(nullptr, 48)();
  expect_failure("ldmatrix: a row that is not aligned to 16 bytes at fragments_test.cpp:", with(nullptr, 8));
  expect_failure("ldmatrix: a row outside shared memory", with(nullptr, 64));
  expect_failure("ldmatrix: a row outside shared memory", with(global, 0));
}

__global__ void no_warp_barrier_kernel(uint32_t* y) {
  GPU_DYNAMIC_SHARED(uint32_t, tile);
  for (int i = 0; i < 4; ++i) tile[threadIdx.x * 4 + i] = 1;
  uint32_t r[4];
  cuda::ldmatrix_x4(r, tile + (31 - threadIdx.x) * 4);  // the row that another lane writes
  for (int i = 0; i < 4; ++i) y[threadIdx.x * 4 + static_cast<unsigned>(i)] = r[i];
}
TEST(Fragments, SeeWhatOtherLanesWroteOnlyAfterABarrier) {
  SKIP_WHERE_RACES_ARE_REPORTED();
  in_each_order([] {
    std::vector<uint32_t> y(128);
    GPU_LAUNCH(no_warp_barrier_kernel, dim3(1), dim3(32), 32 * 16, nullptr, y.data());
    EXPECT_NE(y, std::vector<uint32_t>(128, 1));
  });
}

__global__ void partial_warp_kernel() {
  float c[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  if (threadIdx.x != 7) cuda::mma_16816(c, a, b);
}
TEST(Fragments, NeedTheWholeWarp) {
  expect_failure("exited", [] { GPU_LAUNCH(partial_warp_kernel, dim3(1), dim3(32), 0, nullptr); });
}

TEST(Fragments, PairsAreRoundedToNearest) {
  EXPECT_EQ(cuda::bf16_pair(1.0f, -2.0f), 0xc0003f80u);
  EXPECT_EQ(cuda::bf16_pair(1.00390625f, 1.01171875f), 0x3f823f80u);  // ties, to even
}

// Asynchronous copies.

/// Three groups of one copy a thread, of which all but `pending` are waited for.
template <int kPending>
__global__ void copies_kernel(const float* x, float* y, bool wait) {
  GPU_DYNAMIC_SHARED(float, tile);
  const int t = static_cast<int>(threadIdx.x);
  for (int group = 0; group < 3; ++group) {
    const int at = (group * 32 + t) * 4;
    cuda::cp_async16_or_zero(tile + at, x + at, t != 5);
    cuda::cp_async_commit();
  }
  if (wait) cuda::cp_async_wait<kPending>();
  for (int group = 0; group < 3; ++group) {
    for (int i = 0; i < 4; ++i) y[(group * 32 + t) * 4 + i] = tile[(group * 32 + t) * 4 + i];
  }
}
struct alignas(16) Aligned {
  float values[3 * 32 * 4];
};
TEST(AsyncCopies, LandWhenTheyAreWaitedFor) {
  Aligned x;
  std::fill(std::begin(x.values), std::end(x.values), 4.0f);
  const auto landed = [&](auto kernel, bool wait) {
    Aligned y;
    cuda::gpu_launch("copies", kernel, dim3(1), dim3(32), sizeof(Aligned), nullptr, &x.values[0], &y.values[0], wait);
    int result = 0;
    for (int i = 0; i < 3 * 32 * 4; ++i) {
      const float v = y.values[i];
      EXPECT_TRUE(std::isnan(v) || v == (i / 4 % 32 == 5 ? 0.0f : 4.0f)) << v;
      result += !std::isnan(v);
    }
    return result / (32 * 4);
  };
  in_each_order([&] {
    EXPECT_EQ(landed(copies_kernel<0>, false), 0);
    EXPECT_EQ(landed(copies_kernel<0>, true), 3);
    EXPECT_EQ(landed(copies_kernel<1>, true), 2);
    EXPECT_EQ(landed(copies_kernel<2>, true), 1);
    EXPECT_EQ(landed(copies_kernel<3>, true), 0);
  });
}

/// Begins to refill a buffer that other threads are still reading.
template <bool kBarrier>
__global__ void refill_kernel(const float* x, float* y) {
  GPU_DYNAMIC_SHARED(float, tile);
  const unsigned t = threadIdx.x;
  cuda::cp_async16(tile + t * 4, x + t * 4);
  cuda::cp_async_commit();
  cuda::cp_async_wait<0>();
  __syncthreads();
  y[t] = tile[(31 - t) * 4];
  if constexpr (kBarrier) __syncthreads();
  cuda::cp_async16(tile + t * 4, x + t * 4);
  cuda::cp_async_commit();
}
TEST(AsyncCopies, DestroyWhatWasThere) {
  SKIP_WHERE_RACES_ARE_REPORTED();
  Aligned x;
  std::fill(std::begin(x.values), std::end(x.values), 4.0f);
  in_each_order([&] {
    Floats y(32);
    GPU_LAUNCH((refill_kernel<true>), dim3(1), dim3(32), 512, nullptr, &x.values[0], y.data());
    EXPECT_EQ(y, Floats(32, 4.0f));
    GPU_LAUNCH((refill_kernel<false>), dim3(1), dim3(32), 512, nullptr, &x.values[0], y.data());
    EXPECT_TRUE(std::ranges::any_of(y, [](float v) { return std::isnan(v); }));
  });
}

__global__ void bad_copy_kernel(float* x, int to, int from, int where) {
  GPU_DYNAMIC_SHARED(float, tile);
  cuda::cp_async16((where == 1 ? x : tile) + to, (where == 2 ? tile : x) + from);
}
TEST(AsyncCopies, GoFromGlobalToSharedMemoryIn16Bytes) {
  Aligned x;
  const auto with = [&](int to, int from, int where) {
    return [&x, to, from, where] {
      GPU_LAUNCH(bad_copy_kernel, dim3(1), dim3(1), 128, nullptr, &x.values[0], to, from, where);
    };
  };
  with(4, 8, 0)();
  expect_failure("cp.async: an address that is not aligned to 16 bytes at fragments_test.cpp:", with(1, 0, 0));
  expect_failure("cp.async: an address that is not aligned", with(0, 2, 0));
  expect_failure("cp.async: copies to an address outside shared memory", with(32, 0, 0));
  expect_failure("cp.async: copies to an address outside shared memory", with(0, 4, 1));
  expect_failure("cp.async: copies from shared memory", with(0, 4, 2));
}

}  // namespace
}  // namespace tessera::emulation
