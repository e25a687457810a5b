// Properties of the optimisers that op cases cannot check: parts of an arena that must not be read or written.
#include "engine/ops/optimizer.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "engine/ops/copy.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"

namespace tessera {
namespace {

using Ranges = std::vector<ParameterRange>;

/// 10 live elements, 40 frozen ones, a gap, 30 live ones.
const Ranges kRanges{
    {.offset = 0, .count = 10}, {.offset = 10, .count = 40, .frozen = true}, {.offset = 55, .count = 30}};
constexpr int64_t kSize = 90;

bool live(size_t i) { return i < 10 || (i >= 55 && i < 85); }

/// Ones in live elements, a NaN of a certain pattern elsewhere.
Tensor arena() {
  Tensor t = Tensor::empty({kSize});
  const auto x = t.data<float>();
  for (size_t i = 0; i < x.size(); ++i) x[i] = live(i) ? 1.0f : std::bit_cast<float>(0x7fc01234u);
  return t;
}

void expect_untouched(const Tensor& t) {
  const auto x = t.data<float>();
  for (size_t i = 0; i < x.size(); ++i) {
    if (live(i)) {
      EXPECT_TRUE(std::isfinite(x[i])) << i;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(x[i]), 0x7fc01234u) << i;
    }
  }
}

class Optimizers : public testing::TestWithParam<const KernelTable*> {
 protected:
  void SetUp() override {
    previous_ = &cpu_context().kernels();
    cpu_context().set_kernels(*GetParam());
  }
  void TearDown() override { cpu_context().set_kernels(*previous_); }

 private:
  const KernelTable* previous_ = nullptr;
};

TEST_P(Optimizers, LeaveFrozenRangesAndGapsAlone) {
  StepState state;
  state.lr = 0.5;
  const Tensor value = arena();
  const Tensor m = arena();
  const Tensor v = arena();
  adamw(value, arena(), m, v, kRanges, state);
  lars(value, arena(), m, kRanges, std::vector<uint8_t>{1, 1, 0}, state, 0.9, 0.02);
  for (const Tensor& t : {value, m, v}) expect_untouched(t);
  EXPECT_NE(value.data<float>()[0], 1.0f) << "nothing was learned";
}

TEST_P(Optimizers, NormsCountLiveElementsOnly) {
  EXPECT_DOUBLE_EQ(norm2(arena(), kRanges), std::sqrt(40.0));
  EXPECT_EQ(norm2(arena(), {}), 0.0);
  const Tensor inf = arena();
  inf.data<float>()[3] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isinf(norm2(inf, kRanges))) << "an overflow must be seen";
}

/// f32 squares would overflow from 1.8e19 on and vanish below 1e-23.
TEST_P(Optimizers, NormsNeitherOverflowNorVanish) {
  for (const double size : {1e-30, 1e25}) {
    const Tensor x = Tensor::full({1000}, size);
    const Ranges all{{.offset = 0, .count = 1000}};
    const auto stored = static_cast<double>(static_cast<float>(size));
    EXPECT_NEAR(norm2(x, all) / (stored * std::sqrt(1000.0)), 1.0, 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Optimizers, testing::ValuesIn(cpu_kernel_tables()),
                         [](const auto& p) { return std::string(p.param->name); });

}  // namespace
}  // namespace tessera
