// Memory of a device and copies beside its kernels, with the hooks of the emulated device.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "autograd/ops/pointwise.h"
#include "autograd/tape.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/runtime/context.h"
#include "tests/device/device.h"
#include "tests/emulation/runtime.h"

namespace tessera::test {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class DeviceMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!device_is_emulated()) GTEST_SKIP() << "needs the hooks of the emulated device";
    pool().trim();
  }
  void TearDown() override {
    emulation::fail_allocations(0);
    emulation::delay_copies(false);
    pool().set_limit(0);
  }
  static CachingPool& pool() { return context(test_device()).pool(); }
  static Backend& backend() { return context(test_device()).backend(); }
  static Tensor mebibytes(int64_t count) { return Tensor::empty({count * kMiB / 4}, DType::f32, test_device()); }
};

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const OutOfMemoryError& error) {
    return error.what();
  }
  return "";
}

TEST_F(DeviceMemory, TheSystemIsAskedAgainAfterFreeBlocksWentBack) {
  { const Tensor freed = mebibytes(8); }
  const int64_t frees = emulation::memory_statistics().frees;
  emulation::fail_allocations(1);
  const Tensor larger = mebibytes(32);
  EXPECT_EQ(emulation::memory_statistics().frees, frees + 1) << "the free block";
  copy_into(filled(larger.shape(), 1.0, DType::f32, test_device()), larger, GradMode::overwrite);
  EXPECT_EQ(larger.slice(0, larger.numel() - 1, 1).reshape({}).item(), 1.0);
}

TEST_F(DeviceMemory, WithoutMemoryTheErrorNamesTheLargestHolders) {
  const auto holding = [](const char* tag, int64_t count) {
    const MemoryTag scope(tag);
    return mebibytes(count);
  };
  const Tensor weights = holding("weights", 16), moments = holding("moments", 32);
  emulation::fail_allocations(2);
  const std::string message = message_of([] { (void)mebibytes(4); });
  EXPECT_EQ(message.find("cuda:0: out of memory: asked for 4.0 MiB"), 0U) << message;
  EXPECT_NE(message.find("largest holders: moments 32.0 MiB, weights 16.0 MiB"), std::string::npos) << message;
  EXPECT_EQ(filled({}, 3.0, DType::f32, test_device()).item(), 3.0) << "the next launch does not report it again";
}

TEST_F(DeviceMemory, MoreThanTheDeviceHasIsAnError) {
  const Tensor small = mebibytes(1);
  const std::string message = message_of([] { (void)mebibytes(int64_t{1} << 20); });
  EXPECT_NE(message.find("cuda:0: out of memory: asked for 1048576.0 MiB"), std::string::npos) << message;
}

TEST_F(DeviceMemory, HasALimit) {
  const auto reserved = static_cast<size_t>(pool().statistics().reserved);
  pool().set_limit(reserved + static_cast<size_t>(8 * kMiB));
  const Tensor first = mebibytes(6);
  const std::string message = message_of([] { (void)mebibytes(4); });
  EXPECT_NE(message.find(", limit "), std::string::npos) << message;
  pool().set_limit(0);
  EXPECT_EQ(mebibytes(4).numel(), kMiB);
}

TEST_F(DeviceMemory, PinnedMemoryHasAPoolOfItsOwn) {
  CachingPool& pinned = backend().pinned();
  const int64_t calls = emulation::memory_statistics().host_mallocs;
  void* const block = pinned.allocate(4 * kMiB);
  EXPECT_EQ(emulation::memory_statistics().host_mallocs, calls + 1);
  pinned.deallocate(block, 4 * kMiB);
  void* const again = pinned.allocate(4 * kMiB);
  EXPECT_EQ(again, block);
  EXPECT_EQ(emulation::memory_statistics().host_mallocs, calls + 1);
  emulation::fail_allocations(2);
  EXPECT_EQ(message_of([&] { (void)pinned.allocate(16 * kMiB); }).find("pinned memory of cuda:0: out of memory"), 0U);
  pinned.deallocate(again, 4 * kMiB);
}

/// A tensor in pinned memory with the numbers first, first + 1, …
Tensor pinned_numbers(float first) {
  constexpr int64_t kCount = 64;
  auto& pinned = context(test_device()).backend().pinned();
  const Tensor result(std::make_shared<Storage>(Device::cpu(), pinned, kCount * sizeof(float)), {kCount}, DType::f32);
  std::iota(result.data<float>().begin(), result.data<float>().end(), first);
  return result;
}
float first_of(const Tensor& t) { return t.to(Device::cpu()).data<float>()[0]; }

/// The emulated copies come as late as the tickets allow.
TEST_F(DeviceMemory, CopiesBesideKernelsKeepTheOrderOfTheirTickets) {
  emulation::delay_copies(true);
  const Tensor to = Tensor::zeros({64}, DType::f32, test_device());
  const Tensor a = pinned_numbers(100), b = pinned_numbers(200), c = pinned_numbers(300);
  const auto beside = [&](const Tensor& from, const Ticket& after) {
    return backend().upload_beside(to.pointer(), from.pointer(), from.bytes(), after);
  };
  const Ticket copied = beside(a, backend().mark());
  EXPECT_EQ(first_of(to), 0.0F) << "computing has not waited";
  backend().wait_for(copied);
  EXPECT_EQ(first_of(to), 100.0F);

  backend().upload(to.pointer(), b.pointer(), b.bytes());  // computing is late
  backend().wait_for(beside(c, backend().mark()));
  EXPECT_EQ(first_of(to), 300.0F) << "the copy began after what was queued before its ticket";

  const Ticket last = beside(a, {});
  backend().finish(last);
  a.data<float>()[0] = -1;
  EXPECT_EQ(first_of(to), 100.0F) << "the host may write again";
  backend().wait_for({});
  backend().finish({});
}

TEST(HostMemory, CopiesAreDoneAtOnceAndTicketsEmpty) {
  Backend& host = cpu_context().backend();
  const Tensor from = Tensor::full({10}, 7.0), to = Tensor::zeros({10});
  EXPECT_FALSE(host.mark());
  EXPECT_FALSE(host.upload_beside(to.pointer(), from.pointer(), from.bytes(), host.mark()));
  EXPECT_EQ(to.data<float>()[9], 7.0F);
  EXPECT_EQ(&host.pinned(), &cpu_context().pool());
}

/// Prints what each action throws, and ends the process.
[[noreturn]] void tell(const std::vector<std::function<void()>>& actions) {
  for (const auto& action : actions) {
    try {
      action();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "caught %s\n", error.what());
    }
  }
  std::exit(3);
}

void use_what_is_not_finite() {
  using namespace autograd;
  Tape tape;
  const TapeScope scope(tape);
  const auto full = [](double value) { return filled({2}, value, DType::f32, test_device()); };
  const Var x = tape.input(full(100));
  Var y;
  tell({[&] { (void)unary(Unary::exp, x); }, [&] { y = scale(x, 2); },
        [&] { tape.backward(y, full(std::numeric_limits<double>::quiet_NaN())); }});
}

void meet_a_kernel_that_fails() {
  const Tensor x = Tensor::zeros({100}, DType::f32, test_device());
  emulation::fail_wait(cudaErrorIllegalAddress);
  tell({[&] { (void)cast(x, DType::bf16).to(Device::cpu()); }});
}

/// In processes of their own, because the variables are read once.
TEST(DeviceDeathTest, CheckFiniteNamesTheNode) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  setenv("TESSERA_CHECK_FINITE", "1", 1);
  EXPECT_EXIT(use_what_is_not_finite(), testing::ExitedWithCode(3),
              "caught unary: its output \\(f32 \\[2\\]\\) holds inf[^\n]*\n"
              "caught binary: its gradient \\(f32 \\[2\\]\\) holds nan");
  unsetenv("TESSERA_CHECK_FINITE");
}

TEST(DeviceDeathTest, SyncNamesTheKernel) {
  if (!device_is_emulated()) GTEST_SKIP() << "needs the hooks of the emulated device";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  setenv("TESSERA_SYNC", "0", 1);
  EXPECT_EXIT(meet_a_kernel_that_fails(), testing::ExitedWithCode(3), "caught cudaStreamSynchronize: an illegal");
  setenv("TESSERA_SYNC", "1", 1);
  EXPECT_EXIT(meet_a_kernel_that_fails(), testing::ExitedWithCode(3),
              "caught [^\n]*map_dense_kernel[^\n]*: an illegal");
  unsetenv("TESSERA_SYNC");
}

}  // namespace
}  // namespace tessera::test
