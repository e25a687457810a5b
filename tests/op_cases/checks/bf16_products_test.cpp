// What bf16 products do with numbers that are not ordinary, on every table.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/core/bfloat16.h"
#include "engine/ops/copy.h"
#include "engine/ops/matmul.h"
#include "engine/runtime/context.h"
#include "tests/op_cases/checks/problem_check.h"
#include "tests/support/amx_model.h"

namespace tessera::test {
namespace {

constexpr int64_t kRows = 35, kColumns = 37, kDepth = 67;

/// Ones, but for `value` in row 33, step 40 of the left side.
Tensor product_with(float value) {
  Tensor a = Tensor::full({kRows, kDepth}, 1.0, DType::bf16), b = Tensor::full({kDepth, kColumns}, 1.0, DType::bf16);
  a.data<bfloat16>()[33 * kDepth + 40] = bfloat16(value);
  return matmul(a, b);
}

class Bf16Products : public testing::TestWithParam<const KernelTable*> {};

TEST_P(Bf16Products, CarryInfinitiesAndNaN) {
  const WithKernels scope(*GetParam());
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 3e38f, -3e38f, 0.0f}) {
    const Tensor c = product_with(value);
    const auto found = std::as_const(c).data<float>();
    for (int64_t i = 0; i < kRows * kColumns; ++i) {
      const bool touched = i / kColumns == 33;
      const float expected = touched ? static_cast<float>(kDepth - 1) + static_cast<float>(bfloat16(value)) : kDepth;
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(found[static_cast<size_t>(i)])) << i;
      } else {
        ASSERT_EQ(found[static_cast<size_t>(i)], expected) << i << ", " << value;
      }
    }
  }
}

/// An infinity times zero is NaN, also beside the end of k, where packing fills up with zeros.
TEST_P(Bf16Products, KeepInfinitiesOutOfPadding) {
  const WithKernels scope(*GetParam());
  for (const int64_t depth : {1, 2, 31, 32, 33, 63, 65}) {
    Tensor a = Tensor::full({kRows, depth}, 1.0, DType::bf16), b = Tensor::full({depth, kColumns}, 1.0, DType::bf16);
    for (int64_t j = 0; j < kColumns; ++j) {
      b.data<bfloat16>()[(depth - 1) * kColumns + j] = bfloat16(std::numeric_limits<float>::infinity());
    }
    const Tensor c = matmul(a, b);
    for (const float x : std::as_const(c).data<float>()) ASSERT_EQ(x, std::numeric_limits<float>::infinity()) << depth;
  }
}

/// Numbers below the normal range count as they are, or as zeros.
TEST_P(Bf16Products, TakeTinyNumbersAsTheyAreOrAsZeros) {
  const WithKernels scope(*GetParam());
  const float tiny = 0x1p-130f;
  Tensor a = Tensor::full({kRows, kDepth}, 0.0, DType::bf16), b = Tensor::full({kDepth, kColumns}, 1.0, DType::bf16);
  for (bfloat16& x : a.data<bfloat16>()) x = bfloat16(tiny);
  const Tensor c = matmul(a, b);
  for (const float x : std::as_const(c).data<float>()) ASSERT_TRUE(x == 0.0f || x == kDepth * tiny) << x;
}

INSTANTIATE_TEST_SUITE_P(Tables, Bf16Products, testing::ValuesIn(tables_under_test()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace tessera::test
