// Products by cuDNN against their definition, with the double in the library's place.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "engine/core/bfloat16.h"
#include "engine/core/error.h"
#include "engine/runtime/context.h"
#include "tests/cudnn/backend.h"

namespace tessera::test {
namespace {

using cuda::Dnn;
using cuda::Product;
using cuda::ProductMatrix;

/// Loaded before the backend asks for the library's file name.
void* const library = dlopen(TESSERA_CUDNN_DOUBLE, RTLD_NOW | RTLD_LOCAL);

/// A row-major matrix of normal numbers, with unused columns.
class Matrix {
 public:
  Matrix(DType dtype, int64_t rows, int64_t columns, int64_t pad, uint64_t seed)
      : dtype_(dtype), stride_(columns + pad), bytes_(static_cast<size_t>(rows * stride_) * size_of(dtype) + 16) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (int64_t i = 0; i < rows * stride_; ++i) set(i, normal(random));
  }
  [[nodiscard]] void* data() {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    return bytes_.data() + (16 - address % 16) % 16;
  }
  [[nodiscard]] double at(int64_t row, int64_t column) {
    const int64_t i = row * stride_ + column;
    return dtype_ == DType::f32 ? static_cast<float*>(data())[i]
                                : static_cast<float>(static_cast<bfloat16*>(data())[i]);
  }
  [[nodiscard]] int64_t stride() const { return stride_; }
  [[nodiscard]] ProductMatrix matrix() {
    ProductMatrix m;
    m.data = data();
    m.dtype = dtype_;
    m.row_stride = stride_;
    return m;
  }

 private:
  void set(int64_t i, double x) {
    if (dtype_ == DType::f32) {
      static_cast<float*>(data())[i] = static_cast<float>(x);
    } else {
      static_cast<bfloat16*>(data())[i] = bfloat16(static_cast<float>(x));
    }
  }
  DType dtype_;
  int64_t stride_;
  std::vector<unsigned char> bytes_;
};

struct Form {
  int64_t m = 40, n = 24, k = 16, pad = 0;
  bool w_by_columns = false, bias = false, row_scale = false, pre = false, slope = false, sums = false, added = false;
  Act act = Act::none;
  std::optional<DType> residual{};
  DType y = DType::bf16;
};

double value(Act act, double x) {
  if (act == Act::none) return x;
  return act == Act::gelu_erf ? 0.5 * x * std::erfc(-x / std::sqrt(2.0)) : x / (1 + std::exp(-1.702 * x));
}
double slope(Act act, double x) {
  constexpr double kStep = 1e-5;
  return (value(act, x + kStep) - value(act, x - kStep)) / (2 * kStep);
}

class Problem {
 public:
  explicit Problem(const Form& form)
      : f(form),
        x(DType::bf16, f.m, f.k, f.pad, 1),
        w(DType::bf16, f.w_by_columns ? f.k : f.n, f.w_by_columns ? f.n : f.k, f.pad, 2),
        bias(DType::f32, 1, f.n, 0, 3),
        row_scale(DType::f32, 1, f.m, 0, 4),
        pre(DType::bf16, f.m, f.n, 2 * f.pad, 5),
        residual(f.residual.value_or(DType::f32), f.m, f.n, 3 * f.pad, 6),
        y(f.y, f.m, f.n, 4 * f.pad, 7),
        sums(DType::f32, 1, f.n, 0, 8) {
    p.dtype = DType::bf16;
    p.m = f.m;
    p.n = f.n;
    p.k = f.k;
    p.left = {.data = x.data(), .line_stride = x.stride()};
    p.right = {.data = w.data(), .line_stride = w.stride()};
    if (f.w_by_columns) std::swap(p.right.line_stride, p.right.step_stride);
    p.act = f.act;
    p.slope = f.slope;
    if (f.bias) p.bias = bias.data();
    if (f.row_scale) p.row_scale = row_scale.data();
    if (f.pre || f.slope) p.pre = pre.matrix();
    if (f.residual) p.residual = residual.matrix();
    p.y = y.matrix();
    if (f.sums) {
      p.column_sums = {.pointer = sums.data(), .dtype = DType::f32, .rank = 1, .shape = {f.n}, .strides = {1}};
      p.sum_mode = f.added ? GradMode::accumulate : GradMode::overwrite;
    }
  }

  void compute_and_check() {
    Matrix before = pre;
    Matrix sums_before = sums;
    Dnn dnn;
    ASSERT_TRUE(dnn.compute(cpu_context(), p));
    std::vector<double> totals(static_cast<size_t>(f.n));
    for (int64_t i = 0; i < f.m; ++i) {
      for (int64_t j = 0; j < f.n; ++j) {
        double t = f.bias ? bias.at(0, j) : 0;
        for (int64_t k = 0; k < f.k; ++k) t += x.at(i, k) * (f.w_by_columns ? w.at(k, j) : w.at(j, k));
        if (f.pre) expect_near(DType::bf16, pre.at(i, j), t);
        double expected = f.slope ? t * slope(f.act, before.at(i, j)) : value(f.act, t);
        if (f.row_scale) expected *= row_scale.at(0, i);
        if (f.residual) expected += residual.at(i, j);
        expect_near(f.y, y.at(i, j), expected);
        totals[static_cast<size_t>(j)] += expected;
      }
    }
    for (int64_t j = 0; f.sums && j < f.n; ++j) {
      const double old = f.added ? sums_before.at(0, j) : 0;
      ASSERT_NEAR(sums.at(0, j), old + totals[static_cast<size_t>(j)], 1e-3) << "sum " << j;
    }
  }

  Form f;
  Matrix x, w, bias, row_scale, pre, residual, y, sums;
  Product p;

 private:
  static void expect_near(DType dtype, double found, double expected) {
    const double size = std::max(1.0, std::abs(expected));
    ASSERT_NEAR(found, expected, (dtype == DType::f32 ? 1e-5 : 1.0 / 256) * size);
  }
};

void check(const Form& form) {
  ASSERT_NE(library, nullptr) << dlerror();
  Problem problem(form);
  SCOPED_TRACE(std::to_string(form.m) + " rows, act " + std::to_string(static_cast<int>(form.act)));
  ASSERT_TRUE(Dnn::takes(problem.p));
  problem.compute_and_check();
}

TEST(CudnnProducts, ApplyEveryEpilogue) {
  for (int bits = 1; bits < 96; ++bits) {
    Form f{.pad = (bits & 1) != 0 ? 8 : 0,
           .w_by_columns = (bits & 2) != 0,
           .bias = (bits & 4) != 0,
           .row_scale = (bits & 8) != 0,
           .pre = (bits & 16) != 0,
           .act = static_cast<Act>(bits / 32)};
    for (const std::optional<DType> residual : {std::optional<DType>(), {DType::bf16}, {DType::f32}}) {
      f.residual = residual;
      if (!f.bias && !f.row_scale && !f.pre && !f.residual && f.act == Act::none) continue;
      for (const DType y : {DType::bf16, DType::f32}) {
        f.y = y;
        check(f);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(CudnnProducts, ApplySlopes) {
  for (const Act act : {Act::gelu_erf, Act::quick_gelu}) {
    for (const int64_t pad : {0, 8}) {
      for (const DType y : {DType::bf16, DType::f32}) {
        check({.pad = pad, .w_by_columns = true, .slope = true, .act = act, .y = y});
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(CudnnProducts, SumColumns) {
  for (const bool added : {false, true}) {
    check({.m = 4096,
           .n = 8,
           .k = 8,
           .w_by_columns = true,
           .slope = true,
           .sums = true,
           .added = added,
           .act = Act::gelu_erf});
  }
  check({.m = 4096, .n = 8, .k = 8, .bias = true, .sums = true});
}

TEST(CudnnProducts, HaveAnyNumberOfRows) {
  for (const int64_t m : {1, 2, 333}) check({.m = m, .bias = true, .row_scale = true, .act = Act::gelu_erf});
}

TEST(CudnnProducts, SayWhatFailedInOneLine) {
  auto* const refuse_next = reinterpret_cast<void (*)(const char*)>(dlsym(library, "cudnn_double_refuse_next"));
  auto* const live = reinterpret_cast<int64_t (*)()>(dlsym(library, "cudnn_double_live"));
  ASSERT_TRUE(refuse_next != nullptr && live != nullptr);
  Problem problem({.bias = true});
  const auto message = [&](const char* function) -> std::string {
    Dnn dnn;
    problem.p.m = 40;
    EXPECT_TRUE(dnn.compute(cpu_context(), problem.p));
    problem.p.m = 39;
    refuse_next(function);
    try {
      (void)dnn.compute(cpu_context(), problem.p);
    } catch (const LibraryError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message("cudnnBackendExecute"),
            "cuDNN execute: CUDNN_STATUS_BAD_PARAM: refused, for a product of 39 x 24 x 16 (rows, columns, terms) with "
            "bias to bf16");
  for (const char* function : {"cudnnBackendSetAttribute", "cudnnBackendFinalize", "cudnnBackendGetAttribute"}) {
    const std::string text = message(function);
    EXPECT_NE(text.find("CUDNN_STATUS_BAD_PARAM: refused, for a product of 39 x 24 x 16"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
  EXPECT_EQ(live(), 0);
}

}  // namespace
}  // namespace tessera::test
