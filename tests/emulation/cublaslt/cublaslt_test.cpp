// Products by cuBLASLt against their definition, with the double in the library's place.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "engine/core/error.h"
#include "engine/cuda/products.h"
#include "engine/cuda/stream.h"
#include "engine/runtime/context.h"
#include "tests/emulation/cublaslt/cublaslt_double.h"
#include "tests/emulation/cublaslt/cublaslt_naive.h"

namespace tessera::cuda {
namespace {
int own_products = 0;
}
cudaStream_t stream_of(Context&) { return nullptr; }
void launched(const char*, cudaStream_t) {}
void own_product(Context&, const Product&) { ++own_products; }
Products& products_of(Context&) {
  static Products products(Provider::automatic);
  return products;
}
}  // namespace tessera::cuda

namespace tessera::test {
namespace {

using cuda::Lt;
using cuda::Products;
using cuda::Provider;

class CublasLt : public testing::Test {
 protected:
  ~CublasLt() override { EXPECT_EQ(lt_double::live().descriptors, 0); }
  Lt lt;
};

std::string text_of(const Form& f) {
  return std::string(name_of(f.dtype)) + " to " + std::string(name_of(f.out)) + ", " + std::to_string(f.m) + " x " +
         std::to_string(f.n) + " x " + std::to_string(f.k) + (f.left_lines ? ", left lines" : "") +
         (f.right_lines ? ", right lines" : "") + (f.rows_contiguous ? ", rows of y" : "") +
         (f.interleaved ? ", interleaved" : "") + (f.broadcast ? ", broadcast" : "") + (f.bias ? ", bias" : "") +
         (f.residual ? ", residual" : "") + (f.in_place ? " in place" : "") + (f.accumulate ? ", accumulate" : "") +
         (f.split ? ", split" : "") + ", pad " + std::to_string(f.pad) + ", shift " + std::to_string(f.shift) + ", " +
         std::to_string(f.batches) + " times";
}

/// Computes twice from the same start: the numbers are right and the bits are equal.
void expect_product(Lt& lt, const Form& form) {
  SCOPED_TRACE(text_of(form));
  ProductProblem problem(form);
  ASSERT_TRUE(Lt::takes(problem.p));
  const std::vector<double> before = problem.values();
  ASSERT_TRUE(lt.compute(cpu_context(), problem.p)) << lt_double::last_refusal();
  problem.expect_result(before);
  const std::vector<double> first = problem.values();
  problem.reset();
  ASSERT_TRUE(lt.compute(cpu_context(), problem.p));
  const std::vector<double> second = problem.values();
  for (size_t i = 0; i < first.size(); ++i) {
    ASSERT_TRUE(first[i] == second[i] || std::isnan(first[i])) << "another result the second time, at " << i;
  }
}

/// The type combinations that the engine has.
std::vector<Form> typed(const Form& form) {
  std::vector<Form> result;
  for (const auto& [in, out] : {std::pair{DType::bf16, DType::f32}, std::pair{DType::bf16, DType::bf16},
                                std::pair{DType::f32, DType::f32}, std::pair{DType::f64, DType::f64}}) {
    if (out == DType::bf16 && form.bias) continue;
    Form f = form;
    f.dtype = in;
    f.out = out;
    result.push_back(f);
  }
  return result;
}

/// Each layout of the operands.
std::vector<Form> laid_out(const Form& form, bool with_y) {
  std::vector<Form> result;
  for (int bits = 0; bits < (with_y ? 8 : 4); ++bits) {
    Form f = form;
    f.left_lines = (bits & 1) != 0;
    f.right_lines = (bits & 2) != 0;
    f.rows_contiguous = (bits & 4) != 0;
    result.push_back(f);
  }
  return result;
}

constexpr struct {
  int64_t m, n, k;
} kSizes[] = {{1, 1, 1}, {5, 7, 3}, {1, 96, 100}, {97, 1, 24}, {70, 66, 50}, {64, 130, 1}, {40, 72, 600}};

TEST_F(CublasLt, ComputesEveryLayoutAndType) {
  for (const auto& size : kSizes) {
    for (const bool accumulate : {false, true}) {
      for (const int64_t pad : {0, 3, 8}) {
        const Form form{.m = size.m, .n = size.n, .k = size.k, .accumulate = accumulate, .alpha = 0.75, .pad = pad};
        for (const Form& layout : laid_out(form, true)) {
          for (const Form& f : typed(layout)) expect_product(lt, f);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_F(CublasLt, AddsABiasAndAResidual) {
  for (const auto& size : kSizes) {
    for (int bits = 1; bits < 8; ++bits) {
      const Form form{.m = size.m,
                      .n = size.n,
                      .k = size.k,
                      .bias = (bits & 1) != 0,
                      .residual = (bits & 2) != 0,
                      .in_place = (bits & 4) != 0,
                      .pad = size.k % 4};
      if (form.in_place && !form.residual) continue;
      for (const Form& layout : laid_out(form, false)) {
        for (const Form& f : typed(layout)) expect_product(lt, f);
        if (HasFatalFailure()) return;
      }
    }
  }
  Form accumulated{.m = 40, .n = 24, .k = 16, .bias = true, .accumulate = true};
  expect_product(lt, accumulated);
}

TEST_F(CublasLt, ComputesBatches) {
  for (int bits = 0; bits < 4; ++bits) {
    const Form form{.m = 50,
                    .n = 24,
                    .k = 64,
                    .batches = 3,
                    .interleaved = (bits & 1) != 0,
                    .broadcast = (bits & 2) != 0,
                    .accumulate = bits == 3,
                    .alpha = -2};
    for (const Form& layout : laid_out(form, true)) {
      for (const Form& f : typed(layout)) expect_product(lt, f);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(CublasLt, ReadsAnAddressAsItIs) {
  for (const int64_t shift : {1, 2, 8}) {
    for (const Form& f : typed({.m = 33, .n = 64, .k = 64, .bias = true, .shift = shift})) expect_product(lt, f);
  }
  Form form{.dtype = DType::bf16, .m = 33, .n = 64, .k = 64, .bias = true, .residual = true};
  expect_product(lt, form);
  EXPECT_TRUE(lt_double::last_product().wide);
  form.shift = 1;
  for (const int operand : {1, 2, 4, 8, 16}) {  // one alone
    form.shifted = operand;
    expect_product(lt, form);
    EXPECT_FALSE(lt_double::last_product().wide) << "operand " << operand;
    if (HasFatalFailure()) return;
  }
  form.shifted = 31;
  expect_product(lt, form);
  EXPECT_FALSE(lt_double::last_product().wide);
  form.shift = 8;
  expect_product(lt, form);
  EXPECT_TRUE(lt_double::last_product().wide);
  form.k = 63;  // aligned as a whole, and its lines are not
  expect_product(lt, form);
  EXPECT_FALSE(lt_double::last_product().wide);
}

TEST_F(CublasLt, NeverRoundsF32Operands) {
  ProductProblem problem({.m = 3, .n = 3, .k = 1});
  for (int64_t i = 0; i < 3; ++i) problem.left.set(i, 1 + 1.0 / (1 << 20));
  for (int64_t i = 0; i < 3; ++i) problem.right.set(i, 1);
  ASSERT_TRUE(lt.compute(cpu_context(), problem.p));
  EXPECT_EQ(problem.y.at(0), 1 + 1.0 / (1 << 20));
}

TEST_F(CublasLt, CutsASumOnlyWhereTheProductAllowsIt) {
  Form form{.dtype = DType::bf16, .m = 40, .n = 64, .k = 4096, .left_lines = true, .right_lines = true};
  expect_product(lt, form);
  EXPECT_EQ(lt_double::last_product().splits, 1);
  form.split = true;
  expect_product(lt, form);
  EXPECT_GT(lt_double::last_product().splits, 1);
  EXPECT_GT(lt_double::last_product().workspace, 0U);
}

TEST_F(CublasLt, PlansForManyRowsAtOnce) {
  const auto plans = [&](const Form& form) {
    const auto before = lt_double::calls();
    ProductProblem problem(form);
    EXPECT_TRUE(lt.compute(cpu_context(), problem.p));
    const auto after = lt_double::calls();
    return std::pair(after.heuristics - before.heuristics, after.checks - before.checks);
  };
  Form rows{.m = 100, .n = 32, .k = 32};
  EXPECT_EQ(plans(rows), std::pair(int64_t{1}, int64_t{1}));
  EXPECT_EQ(plans(rows), std::pair(int64_t{0}, int64_t{0}));
  rows.m = 101;
  EXPECT_EQ(plans(rows), std::pair(int64_t{0}, int64_t{1}));
  rows.m = 129;
  EXPECT_EQ(plans(rows), std::pair(int64_t{1}, int64_t{1}));
  rows.m = 100;
  EXPECT_EQ(plans(rows), std::pair(int64_t{0}, int64_t{1}));
  // The terms of a gradient of weights are rows, and those of a forward product are not.
  Form terms{.m = 32, .n = 32, .k = 100, .left_lines = true, .right_lines = true};
  EXPECT_EQ(plans(terms).first, 1);
  terms.k = 128;
  EXPECT_EQ(plans(terms).first, 0);
  Form features{.m = 32, .n = 32, .k = 100};
  EXPECT_EQ(plans(features).first, 1);
  features.k = 104;
  EXPECT_EQ(plans(features).first, 1);
}

TEST_F(CublasLt, DoesNotDependOnWhatItSawBefore) {
  Form form{.dtype = DType::bf16, .m = 32, .n = 64, .k = 1000, .left_lines = true, .right_lines = true, .split = true};
  const auto result = [&](Lt& provider, std::initializer_list<int64_t> terms) {
    std::vector<double> values;
    for (const int64_t k : terms) {
      form.k = k;
      ProductProblem problem(form);
      EXPECT_TRUE(provider.compute(cpu_context(), problem.p));
      values = problem.values();
    }
    return values;
  };
  Lt fresh;
  EXPECT_EQ(result(lt, {1024, 897, 1000, 960}), result(fresh, {960}));
}

/// Whether the library may take a product after this change.
template <class Change>
bool takes(Form form, Change&& change) {
  ProductProblem problem(form);
  change(problem.p);
  return Lt::takes(problem.p);
}

TEST_F(CublasLt, LeavesOtherProductsAlone) {
  const Form form{.m = 8, .n = 8, .k = 8, .residual = true};
  const Form bf16{.dtype = DType::bf16, .out = DType::bf16, .m = 8, .n = 8, .k = 8};
  const Form turned{.m = 8, .n = 8, .k = 8, .rows_contiguous = true};
  float vector[8] = {};
  EXPECT_TRUE(takes(form, [](auto&) {}));
  EXPECT_TRUE(takes(bf16, [](auto&) {}));
  EXPECT_TRUE(takes(turned, [](auto&) {}));
  EXPECT_FALSE(takes(form, [](auto& p) { p.act = Act::gelu_erf; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.act = Act::quick_gelu; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.slope = true; }));
  EXPECT_FALSE(takes(form, [&](auto& p) { p.pre.data = vector; }));
  EXPECT_FALSE(takes(form, [&](auto& p) { p.row_scale = vector; }));
  EXPECT_FALSE(takes(form, [&](auto& p) { p.column_sums.pointer = vector; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.accumulate = true; })) << "two matrices to add";
  EXPECT_FALSE(takes(form, [](auto& p) { p.residual.dtype = DType::bf16; }));
  EXPECT_FALSE(takes(form, [](auto& p) {
    p.residual = p.y;
    p.residual.row_stride = 16;
  })) << "in place, and elsewhere";
  EXPECT_FALSE(takes(form, [](auto& p) { p.y.dtype = DType::bf16; })) << "f32 to bf16";
  EXPECT_FALSE(takes(form, [](auto& p) { p.y.dtype = DType::f64; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.batches = 2; })) << "a residual on a batch";
  EXPECT_FALSE(takes(form, [](auto& p) { p.m = 0; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.n = 0; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.k = 0; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.batches = 0; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.m = int64_t{1} << 31; }));
  EXPECT_FALSE(takes(form, [](auto& p) { p.left.step_stride = 2; })) << "no stride is 1";
  EXPECT_FALSE(takes(form, [](auto& p) { p.left.line_stride = 7; })) << "lines overlap";
  EXPECT_FALSE(takes(form, [](auto& p) { p.y_column_stride = 2; }));
  EXPECT_FALSE(takes(bf16, [&](auto& p) { p.bias = vector; })) << "a bf16 result with an f32 bias";
  EXPECT_TRUE(takes(form, [&](auto& p) { p.bias = vector; }));
  EXPECT_FALSE(takes(turned, [&](auto& p) { p.bias = vector; })) << "the bias would run along rows";
  EXPECT_FALSE(takes(turned, [&](auto& p) { p.residual.data = vector; }));
  const Form batch{.m = 8, .n = 8, .k = 8, .batches = 2};
  EXPECT_TRUE(takes(batch, [](auto&) {}));
  EXPECT_FALSE(takes(batch, [](auto& p) { p.y_batch_stride = 4; })) << "results overlap";
  EXPECT_FALSE(takes(batch, [](auto& p) { p.y_batch_stride = 8; })) << "results overlap";
  EXPECT_FALSE(takes(batch, [&](auto& p) { p.bias = vector; }));
}

TEST_F(CublasLt, SaysWhichCallFailed) {
  ProductProblem problem({.dtype = DType::bf16, .m = 8, .n = 16, .k = 24});
  const auto message = [&](const char* function, cublasStatus_t status) -> std::string {
    Lt fresh;
    lt_double::fail_next(function, status);
    try {
      EXPECT_FALSE(fresh.compute(cpu_context(), problem.p));
      return "false";
    } catch (const LibraryError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(message("cublasLtCreate", CUBLAS_STATUS_NOT_INITIALIZED), "cublasLtCreate: CUBLAS_STATUS_NOT_INITIALIZED");
  EXPECT_EQ(message("cublasLtMatmul", CUBLAS_STATUS_EXECUTION_FAILED),
            "cublasLtMatmul for a product of 8 x 16 x 24 (rows, columns, terms) from bf16 to f32: "
            "CUBLAS_STATUS_EXECUTION_FAILED");
  // The rows of a plan are rounded.
  const std::string problem_text = " for a product of 128 x 16 x 24 (rows, columns, terms) from bf16 to f32: ";
  for (const char* function :
       {"cublasLtMatmulDescCreate", "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate",
        "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulAlgoGetHeuristic",
        "cublasLtMatmulAlgoConfigGetAttribute"}) {
    EXPECT_EQ(message(function, CUBLAS_STATUS_INTERNAL_ERROR),
              function + problem_text + "CUBLAS_STATUS_INTERNAL_ERROR");
    EXPECT_EQ(lt_double::live().descriptors, 0) << function;
  }
  EXPECT_EQ(message("cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_NOT_SUPPORTED), "false") << "no algorithm";
}

TEST_F(CublasLt, TriesTheNextProposal) {
  ProductProblem problem({.m = 8, .n = 16, .k = 24});
  lt_double::fail_next("cublasLtMatmulAlgoCheck", CUBLAS_STATUS_NOT_SUPPORTED);
  ASSERT_TRUE(lt.compute(cpu_context(), problem.p));
  EXPECT_FALSE(lt_double::last_product().wide);
}

TEST_F(CublasLt, OwnsOneHandle) {
  const int64_t before = lt_double::live().handles;
  {
    Lt provider;
    EXPECT_EQ(lt_double::live().handles, before) << "made before the first product";
    for (const int64_t m : {8, 300}) {
      ProductProblem problem({.m = m, .n = 16, .k = 24});
      ASSERT_TRUE(provider.compute(cpu_context(), problem.p));
    }
    EXPECT_EQ(lt_double::live().handles, before + 1);
  }
  EXPECT_EQ(lt_double::live().handles, before);
}

// --- the choice
// --------------------------------------------------------------------------------------------------------

TEST(Products, GoWhereTheyBelong) {
  const auto own_after = [](Provider provider, const Form& form) {
    ProductProblem problem(form);
    Products products(provider);
    const int before = cuda::own_products;
    products.compute(cpu_context(), problem.p);
    return cuda::own_products - before;
  };
  const Form small{.m = 8, .n = 8, .k = 8};
  const Form large{.m = 256, .n = 256, .k = 256};
  const Form other{.m = 256, .n = 256, .k = 256, .rows_contiguous = true, .bias = true};
  EXPECT_EQ(own_after(Provider::automatic, small), 1);
  EXPECT_EQ(own_after(Provider::automatic, large), 0);
  EXPECT_EQ(own_after(Provider::automatic, other), 1);
  EXPECT_EQ(own_after(Provider::own, large), 1);
  EXPECT_EQ(own_after(Provider::lt, small), 0);
  EXPECT_EQ(own_after(Provider::lt, other), 1);
  lt_double::fail_next("cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(own_after(Provider::lt, large), 1) << "no algorithm";
  ProductProblem problem(large);
  const int before = cuda::own_products;
  compute(cpu_context(), problem.p);
  EXPECT_EQ(cuda::own_products, before);
}

TEST(Products, ReadTheEnvironment) {
  const auto provider = [](const char* word) {
    setenv("TESSERA_PRODUCTS", word, 1);
    const Provider result = cuda::provider_from_environment();
    unsetenv("TESSERA_PRODUCTS");
    return result;
  };
  EXPECT_EQ(cuda::provider_from_environment(), Provider::automatic);
  EXPECT_EQ(provider(""), Provider::automatic);
  EXPECT_EQ(provider("auto"), Provider::automatic);
  EXPECT_EQ(provider("own"), Provider::own);
  EXPECT_EQ(provider("lt"), Provider::lt);
  for (const auto& [word, expected] :
       {std::pair("fast", "TESSERA_PRODUCTS=fast: expected auto, own, lt or cudnn"),
        std::pair("cudnn", "TESSERA_PRODUCTS=cudnn: this build has no products by cuDNN")}) {
    try {
      provider(word);
      FAIL() << word;
    } catch (const ConfigError& error) {
      EXPECT_STREQ(error.what(), expected);
    }
    unsetenv("TESSERA_PRODUCTS");
  }
}

}  // namespace
}  // namespace tessera::test
