// The linear family outside its kernels: kept packs, and passes that are skipped.
#include "engine/ops/linear.h"

#include <gtest/gtest.h>

#include "engine/ops/copy.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"

namespace tessera {
namespace {

TEST(Packs, AreRemadeOnlyWhenSomethingChanged) {
  const Tensor w = Tensor::full({37, 50}, 0.5);
  Packed packed;
  refresh_packs(w, DType::bf16, 1, packed);
  EXPECT_EQ(packed.version, 1u);
  EXPECT_EQ(packed.table, &cpu_context().kernels());
  ASSERT_TRUE(packed.forward) << "a bf16 pack pays";
  const auto bytes = [&] { return packed.forward.data<uint8_t>(); };
  const std::vector<uint8_t> first(bytes().begin(), bytes().end());
  const void* place = packed.forward.pointer();
  fill(w, 2.0);
  refresh_packs(w, DType::bf16, 1, packed);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), bytes().begin())) << "the version is the same";
  refresh_packs(w, DType::bf16, 2, packed);
  EXPECT_FALSE(std::equal(first.begin(), first.end(), bytes().begin()));
  EXPECT_EQ(packed.forward.pointer(), place) << "memory is used again";
}

TEST(Packs, FollowTheKernelTable) {
  const Tensor w = Tensor::full({37, 50}, 0.5);
  Packed packed;
  const KernelTable* before = &cpu_context().kernels();
  for (const KernelTable* table : cpu_kernel_tables()) {
    cpu_context().set_kernels(*table);
    refresh_packs(w, DType::bf16, 1, packed);
    EXPECT_EQ(packed.table, table);
    EXPECT_EQ(packed.forward ? packed.forward.bytes() : 0,
              table->linear.pack_bytes(37, 50, DType::bf16, Side::forward));
  }
  cpu_context().set_kernels(*before);
}

TEST(Packs, AreNotKeptInF32) {
  const Tensor w = Tensor::full({37, 50}, 0.5);
  Packed packed;
  refresh_packs(w, DType::f32, 1, packed);
  EXPECT_FALSE(packed.forward);
  EXPECT_FALSE(packed.grad_input);
}

TEST(PrepareDy, ReturnsItsArgumentWhenNothingChanges) {
  const Tensor dy = Tensor::full({3, 4}, 2.0);
  EXPECT_EQ(prepare_dy(dy, {}, {}, DType::f32, {}).pointer(), dy.pointer());
  const Tensor sums = Tensor::zeros({4});
  EXPECT_EQ(prepare_dy(dy, {}, {}, DType::f32, {sums, GradMode::overwrite}).pointer(), dy.pointer());
  EXPECT_EQ(sums.data<float>()[3], 6.0f);
  EXPECT_EQ(prepare_dy(dy, {}, {}, DType::bf16, {}).dtype(), DType::bf16);
}

TEST(Linear, DestinationsThatNobodyWantsAreLeftOut) {
  EXPECT_NO_THROW(linear_grad_weight(Tensor(), Tensor(), {}));
  EXPECT_NO_THROW(linear_grad_input(Tensor(), Tensor(), {}));
}

}  // namespace
}  // namespace tessera
