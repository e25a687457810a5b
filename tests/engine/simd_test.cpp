// The vector layer under the kernels, tested through the public operations on every table that this processor can run:
// accuracy of the functions over the floats, exact ends of rows, rounding to bfloat16, and that an element's value does
// not depend on its place in a vector.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/memory/allocator.h"
#include "engine/memory/storage.h"
#include "engine/ops/copy.h"
#include "engine/ops/kernels.h"
#include "engine/ops/norm.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/reduce.h"
#include "engine/runtime/context.h"

namespace tessera {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class Simd : public testing::TestWithParam<const KernelTable*> {
 protected:
  Simd() : before_(cpu_context().kernels()) { cpu_context().set_kernels(*GetParam()); }
  ~Simd() override { cpu_context().set_kernels(before_); }

 private:
  const KernelTable& before_;
};

/// Size of one unit in the last place of a float near `exact`, denormals included.
double ulp(double exact) {
  int exponent = 0;
  (void)std::frexp(exact, &exponent);
  return std::ldexp(1.0, std::max(exponent, -125) - 24);
}

/// Calls check(x, f(x)) for every `step`-th of the 2^32 floats, NaN excepted, after checking that NaN stays NaN.
void for_floats(uint32_t step, const std::function<Tensor(const Tensor&)>& f,
                const std::function<void(float, float)>& check) {
  constexpr int64_t kBatch = 1 << 16;
  const Tensor x = Tensor::empty({kBatch});
  uint64_t bits = 0;
  while (bits < (uint64_t{1} << 32)) {
    for (float& value : x.data<float>()) {
      value = std::bit_cast<float>(static_cast<uint32_t>(bits));
      bits += step;
    }
    const Tensor y = f(x);
    for (int64_t i = 0; i < kBatch; ++i) {
      const float in = x.data<float>()[static_cast<size_t>(i)];
      const float out = y.data<float>()[static_cast<size_t>(i)];
      if (std::isnan(in)) {
        ASSERT_TRUE(std::isnan(out));
      } else {
        check(in, out);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

constexpr uint32_t kStep = 499;  // 8.6 million floats

std::function<Tensor(const Tensor&)> value_of(Unary op) {
  return [op](const Tensor& x) { return unary(op, x); };
}
std::function<Tensor(const Tensor&)> slope_of(Unary op) {
  return [op, ones = Tensor::full({1 << 16}, 1.0)](const Tensor& x) {
    Tensor dx = Tensor::empty(x.shape());
    unary_grad(op, x, ones, {dx, GradMode::overwrite});
    return dx;
  };
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }
double normal_pdf(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0)); }

TEST_P(Simd, ExpIsRightToTheLastPlace) {
  for_floats(kStep, value_of(Unary::exp), [](float x, float y) {
    const double exact = std::exp(static_cast<double>(x));
    if (exact > 0x1.fffffep127) {
      ASSERT_EQ(y, kInf) << x;
    } else {
      ASSERT_LE(std::abs(y - exact), 1.02 * ulp(exact)) << x;
    }
  });
}

TEST_P(Simd, GeluKeepsItsDigitsInTheTail) {
  for_floats(kStep, value_of(Unary::gelu_erf), [](float x, float y) {
    if (std::isinf(x)) return;
    const double exact = x * normal_cdf(x);
    if (x < -13) {
      ASSERT_EQ(y, 0) << x << ": no denormal numbers beyond 13";
    } else {
      ASSERT_LE(std::abs(y - exact), (5 + (x < 0 ? 0.5 * x * x : 0)) * ulp(exact)) << x;
    }
  });
}

TEST_P(Simd, GeluSlope) {
  for_floats(kStep, slope_of(Unary::gelu_erf), [](float x, float y) {
    if (std::isinf(x)) return;
    ASSERT_LE(std::abs(y - (normal_cdf(x) + x * normal_pdf(x))), 2e-7) << x;
    if (std::abs(x) > 13) {
      ASSERT_EQ(y, x > 0 ? 1 : 0) << x;
    }
  });
}

TEST_P(Simd, QuickGelu) {
  for_floats(kStep, value_of(Unary::quick_gelu), [](float x, float y) {
    if (std::isinf(x)) return;
    const double exact = x * sigmoid(1.702 * x);
    if (x < -50) {
      ASSERT_LE(std::abs(y - exact), 1e-34) << x;
    } else {
      ASSERT_LE(std::abs(y - exact), (3 + (x < 0 ? -2.0 * x : 0)) * ulp(exact)) << x;
    }
  });
}

TEST_P(Simd, QuickGeluSlope) {
  for_floats(kStep, slope_of(Unary::quick_gelu), [](float x, float y) {
    if (std::isinf(x)) return;
    const double s = sigmoid(1.702 * x);
    ASSERT_LE(std::abs(y - s * (1 + 1.702 * x * (1 - s))), 3e-7) << x;
  });
}

TEST_P(Simd, Relu) {
  for_floats(kStep * 16, value_of(Unary::relu), [](float x, float y) { ASSERT_EQ(y, x > 0 ? x : 0); });
  const Tensor x = Tensor::from(std::vector<float>{-2.0f, -0.0f, 0.0f, 1e-45f, 3.0f}, {5});
  const Tensor dx = Tensor::empty({5});
  unary_grad(Unary::relu, x, Tensor::full({5}, 7.0), {dx, GradMode::overwrite});
  EXPECT_EQ(std::vector<float>(dx.data<float>().begin(), dx.data<float>().end()),
            (std::vector<float>{0.0f, 0.0f, 0.0f, 7.0f, 7.0f}));
}

TEST_P(Simd, Infinities) {
  struct Case {
    Unary op;
    double low, high, low_slope, high_slope;
  };
  for (const Case& c : {Case{Unary::exp, 0, kInf, 0, kInf}, Case{Unary::gelu_erf, 0, kInf, 0, 1},
                        Case{Unary::quick_gelu, 0, kInf, 0, 1}, Case{Unary::relu, 0, kInf, 0, 1}}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      const Tensor x = cast(Tensor::from(std::vector<float>{-kInf, kInf, kNan}, {3}), dtype);
      const Tensor y = cast(unary(c.op, x), DType::f64);
      Tensor dx = Tensor::empty({3}, dtype);
      unary_grad(c.op, x, Tensor::full({3}, 1.0, dtype), {dx, GradMode::overwrite});
      const Tensor slope = cast(dx, DType::f64);
      EXPECT_EQ(y.data<double>()[0], c.low) << static_cast<int>(c.op);
      EXPECT_EQ(y.data<double>()[1], c.high) << static_cast<int>(c.op);
      EXPECT_TRUE(std::isnan(y.data<double>()[2])) << static_cast<int>(c.op);
      EXPECT_EQ(slope.data<double>()[0], c.low_slope) << static_cast<int>(c.op);
      EXPECT_EQ(slope.data<double>()[1], c.high_slope) << static_cast<int>(c.op);
    }
  }
}

TEST_P(Simd, ExpIsExactWhereItMustBe) {
  const Tensor y = unary(
      Unary::exp, Tensor::from(std::vector<float>{0.0f, -0.0f, 88.72283f, 88.72284f, -103.97f, -103.98f, -87.4f}, {7}));
  const auto v = y.data<float>();
  EXPECT_EQ(v[0], 1.0f);
  EXPECT_EQ(v[1], 1.0f);
  EXPECT_LT(v[2], kInf);
  EXPECT_EQ(v[3], kInf);
  EXPECT_EQ(v[4], 0x1p-149f);  // the smallest denormal
  EXPECT_EQ(v[5], 0.0f);
  const double denormal = std::exp(static_cast<double>(-87.4f));  // not flushed
  EXPECT_NEAR(static_cast<double>(v[6]) / 0x1p-149, denormal / 0x1p-149, 1.0);
}

/// All bit patterns that round differently: each bfloat16 with lower halves around the tie.
TEST_P(Simd, RoundsToBfloat16AsTheScalarDoes) {
  std::vector<float> values;
  for (uint32_t high = 0; high < 0x10000; ++high) {
    for (const uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u}) {
      values.push_back(std::bit_cast<float>((high << 16) | low));
    }
  }
  const auto count = static_cast<int64_t>(values.size());
  const Tensor y = cast(Tensor::from(values, {count}), DType::bf16);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(y.data<bfloat16>()[i].bits, bfloat16(values[i]).bits) << std::bit_cast<uint32_t>(values[i]);
  }
  const Tensor back = cast(y, DType::f32);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(back.data<float>()[i]), static_cast<uint32_t>(y.data<bfloat16>()[i].bits) << 16);
  }
}

TEST_P(Simd, AnElementsValueDoesNotDependOnItsPlace) {
  constexpr int64_t kCount = 67;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    const Tensor x = Tensor::empty({kCount});
    for (int64_t i = 0; i < kCount; ++i) x.data<float>()[static_cast<size_t>(i)] = 0.17f * static_cast<float>(i - 33);
    const Tensor typed = cast(x, dtype);
    for (const Unary op : {Unary::exp, Unary::gelu_erf, Unary::quick_gelu}) {
      const Tensor whole = unary(op, typed);
      for (int64_t begin = 0; begin < kCount; ++begin) {
        for (const int64_t length : {1, 3, 9}) {
          if (begin + length > kCount) continue;
          const Tensor part = unary(op, typed.slice(0, begin, length));
          ASSERT_EQ(0, std::memcmp(part.pointer(), whole.slice(0, begin, length).pointer(), part.bytes()))
              << begin << " + " << length;
        }
      }
    }
  }
}

/// Memory that ends at a page which may not be accessed.
class PageEnd final : public Allocator {
 public:
  explicit PageEnd(size_t bytes) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    base_ = mmap(nullptr, 3 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(base_, MAP_FAILED);
    EXPECT_EQ(mprotect(static_cast<std::byte*>(base_) + page_, page_, PROT_READ | PROT_WRITE), 0);
    EXPECT_LE(bytes, page_);
  }
  ~PageEnd() override { munmap(base_, 3 * page_); }
  PageEnd(const PageEnd&) = delete;
  PageEnd& operator=(const PageEnd&) = delete;
  [[nodiscard]] void* allocate(size_t bytes) override { return static_cast<std::byte*>(base_) + 2 * page_ - bytes; }
  void deallocate(void*, size_t) noexcept override {}
  [[nodiscard]] MemoryStatistics statistics() const override { return {}; }
  void reset_peak() override {}

 private:
  size_t page_;
  void* base_ = nullptr;
};

Tensor at_page_end(std::vector<std::unique_ptr<PageEnd>>& pages, const Shape& shape, DType dtype) {
  const auto bytes = static_cast<size_t>(shape.numel()) * size_of(dtype);
  pages.push_back(std::make_unique<PageEnd>(bytes));
  return {std::make_shared<Storage>(Device::cpu(), *pages.back(), bytes), shape, dtype};
}

TEST_P(Simd, NothingPastTheEndIsTouched) {
  for (int64_t n = 1; n <= 70; ++n) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      std::vector<std::unique_ptr<PageEnd>> pages;
      const Tensor x = at_page_end(pages, {n}, dtype);
      const Tensor y = at_page_end(pages, {n}, dtype);
      const Tensor other = at_page_end(pages, {n}, dtype == DType::f32 ? DType::bf16 : DType::f32);
      fill(x, 1.0);
      copy_into(x, other);
      copy_into(other, y, GradMode::overwrite);
      copy_into(other, y, GradMode::accumulate);
      EXPECT_EQ(sum(y).item(), 2.0 * static_cast<double>(n));
      EXPECT_EQ(dot(x, y).item(), 2.0 * static_cast<double>(n));
      binary_into(Binary::sub, y, x, 3.0, {y, GradMode::overwrite});
      EXPECT_EQ(sum(y).item(), 3.0 * static_cast<double>(n));
      unary_grad(Unary::relu, x, x, {y, GradMode::accumulate});
      EXPECT_EQ(sum(y).item(), 4.0 * static_cast<double>(n));
    }
    std::vector<std::unique_ptr<PageEnd>> pages;
    const Tensor x = at_page_end(pages, {1, n}, DType::f32);
    const Tensor gamma = at_page_end(pages, {n}, DType::f32);
    const Tensor beta = at_page_end(pages, {n}, DType::f32);
    fill(x, 5.0);
    fill(gamma, 1.0);
    fill(beta, 0.25);
    const LayerNormResult r = layer_norm(x, gamma, beta, 1e-6, DType::f32);
    EXPECT_EQ(r.mean.item(), 5.0);
    EXPECT_EQ(sum(r.y).item(), 0.25 * static_cast<double>(n));
    layer_norm_grad(
        {.x = x, .gamma = gamma, .mean = r.mean, .rstd = r.rstd, .dy = x},
        {.dx = {x, GradMode::overwrite}, .dgamma = {gamma, GradMode::overwrite}, .dbeta = {beta, GradMode::overwrite}});
    EXPECT_EQ(sum(beta).item(), 5.0 * static_cast<double>(n));
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Simd, testing::ValuesIn(cpu_kernel_tables()),
                         [](const auto& table) { return std::string(table.param->name); });

TEST(KernelTables, AreNamedAndOrdered) {
  const auto tables = cpu_kernel_tables();
  ASSERT_FALSE(tables.empty());
  EXPECT_EQ(tables.front()->name, "portable");
  for (const KernelTable* table : tables) EXPECT_EQ(&cpu_kernel_table(table->name), table);
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no ConfigError";
}

TEST(KernelTables, AnUnknownNameIsAConfigError) {
  EXPECT_NE(message_of([] { (void)cpu_kernel_table("sse9"); }).find("sse9: expected one of portable"),
            std::string::npos);
  const char* before = std::getenv("TESSERA_ISA");
  const std::string saved = before == nullptr ? "" : before;
  setenv("TESSERA_ISA", "sse9", 1);
  EXPECT_NE(message_of([] { (void)default_cpu_kernel_table(); }).find("TESSERA_ISA=sse9: expected one of portable"),
            std::string::npos);
  setenv("TESSERA_ISA", "portable", 1);
  EXPECT_EQ(default_cpu_kernel_table().name, "portable");
  if (before == nullptr) {
    unsetenv("TESSERA_ISA");
  } else {
    setenv("TESSERA_ISA", saved.c_str(), 1);
  }
}

}  // namespace
}  // namespace tessera
