// Which products are cuDNN's case, and what their graphs are.
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/core/error.h"
#include "engine/cuda/dnn/request.h"
#include "engine/runtime/context.h"
#include "tests/cudnn/backend.h"

namespace tessera::test {
namespace {

using cuda::Dnn;
using cuda::Product;
using cuda::Products;
using cuda::Provider;
using cuda::dnn::request_of;

void* const kVector = reinterpret_cast<void*>(uintptr_t{0x30000});
constexpr int64_t kRows = 256 * 197;

/// The words of a request, "none" where it is not cuDNN's case.
std::string words(const Product& p) {
  const auto request = request_of(p);
  EXPECT_EQ(Dnn::takes(p), request.has_value());
  return request ? describe(*request, p.m) : "none";
}
template <class Change>
std::string words(Product p, const Change& change) {
  change(p);
  return words(p);
}

Product biased() {
  Product p = linear_product(kRows, 3072, 768);
  p.bias = kVector;
  return p;
}
Product hidden(Act act) {
  Product p = biased();
  p.act = act;
  p.pre = matrix(DType::bf16, 3072);
  return p;
}
Product added() {
  Product p = linear_product(kRows, 768, 3072);
  p.bias = kVector;
  p.residual = matrix(DType::f32, 768);
  p.y.dtype = DType::f32;
  return p;
}
/// The gradient of a hidden layer: w [k, n] by rows.
Product sloped(Act act) {
  Product p = linear_product(kRows, 3072, 768);
  p.right.line_stride = 1;
  p.right.step_stride = 3072;
  p.act = act;
  p.slope = true;
  p.pre = matrix(DType::bf16, 3072);
  return p;
}
View sums(int64_t n) { return {.pointer = kVector, .dtype = DType::f32, .rank = 1, .shape = {n}, .strides = {1}}; }

TEST(CudnnRequest, SaysWhatAGraphDoes) {
  EXPECT_EQ(words(biased()), "50432 x 3072 x 768 (rows, columns, terms) with bias to bf16");
  EXPECT_EQ(words(hidden(Act::gelu_erf)), "50432 x 3072 x 768 (rows, columns, terms) with bias, pre, gelu_erf to bf16");
  EXPECT_EQ(words(hidden(Act::quick_gelu)),
            "50432 x 3072 x 768 (rows, columns, terms) with bias, pre, quick_gelu to bf16");
  EXPECT_EQ(words(added()), "50432 x 768 x 3072 (rows, columns, terms) with bias, f32 residual to f32");
  EXPECT_EQ(words(added(), [](Product& p) { p.row_scale = kVector; }),
            "50432 x 768 x 3072 (rows, columns, terms) with bias, row scale, f32 residual to f32");
  EXPECT_EQ(words(sloped(Act::gelu_erf)),
            "50432 x 3072 x 768 (rows, columns, terms) with the slope of gelu_erf to bf16");
  EXPECT_EQ(words(sloped(Act::quick_gelu), [](Product& p) { p.column_sums = sums(3072); }),
            "50432 x 3072 x 768 (rows, columns, terms) with the slope of quick_gelu, column sums to bf16");
}

TEST(CudnnRequest, HoldsTheLayout) {
  Product p = sloped(Act::gelu_erf);
  p.left.line_stride = 776;
  p.right.step_stride = 3080;
  p.pre.row_stride = 3088;
  p.y.row_stride = 3096;
  const auto r = request_of(p);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->x_stride, 776);
  EXPECT_FALSE(r->w_by_rows);
  EXPECT_EQ(r->w_stride, 3080);
  EXPECT_EQ(r->pre.row_stride, 3088);
  EXPECT_EQ(r->y.row_stride, 3096);
  const auto forward = request_of(biased());
  ASSERT_TRUE(forward);
  EXPECT_TRUE(forward->w_by_rows);
  EXPECT_EQ(forward->w_stride, 768);
  // The number of rows is not part of a request, and the addresses are not.
  Product other = biased();
  other.m = 333;
  other.left.data = kVector;
  EXPECT_EQ(request_of(other), forward);
}

TEST(CudnnRequest, LeavesOtherProductsAlone) {
  const auto none = [](const Product& p, auto change) { EXPECT_EQ(words(p, change), "none"); };
  none(linear_product(kRows, 768, 768), [](Product&) {});  // nothing is done to the result
  none(biased(), [](Product& p) { p.dtype = DType::f32; });
  none(biased(), [](Product& p) { p.y.dtype = DType::f64; });
  none(biased(), [](Product& p) { p.alpha = 2; });
  none(biased(), [](Product& p) { p.batches = 2; });
  none(biased(), [](Product& p) { p.accumulate = true; });
  none(biased(), [](Product& p) { p.split = true; });
  none(biased(), [](Product& p) { p.y_column_stride = 2; });
  none(biased(), [](Product& p) { p.m = 0; });
  none(biased(), [](Product& p) { p.n = 3068; });
  none(biased(), [](Product& p) { p.k = 764; });
  none(biased(), [](Product& p) { p.k = 0; });
  none(biased(), [](Product& p) { p.left.line_stride = 772; });
  none(biased(), [](Product& p) { p.left.line_stride = 760; });
  none(biased(), [](Product& p) { p.left.step_stride = 2; });
  none(biased(), [](Product& p) { std::swap(p.left.step_stride, p.left.line_stride); });
  none(biased(), [](Product& p) { p.right.step_stride = 2; });
  none(biased(), [](Product& p) { p.y.row_stride = 3076; });
  none(biased(), [](Product& p) { p.left.data = static_cast<const char*>(p.left.data) + 8; });
  none(biased(), [](Product& p) { p.right.data = static_cast<const char*>(p.right.data) + 2; });
  none(biased(), [](Product& p) { p.bias = static_cast<const char*>(p.bias) + 4; });
  none(biased(), [](Product& p) { p.y.data = static_cast<char*>(p.y.data) + 2; });
  none(hidden(Act::gelu_erf), [](Product& p) { p.pre.dtype = DType::f32; });
  none(hidden(Act::gelu_erf), [](Product& p) { p.pre.row_stride = 3075; });
  none(added(), [](Product& p) { p.residual.data = p.y.data; });
  none(added(), [](Product& p) { p.residual.dtype = DType::f64; });
  none(sloped(Act::gelu_erf), [](Product& p) { p.pre = {}; });
  none(sloped(Act::gelu_erf), [](Product& p) { p.accumulate = true; });
}

TEST(CudnnRequest, SumsColumnsOfManyWholeTiles) {
  const auto with_rows = [](int64_t m) {
    Product p = sloped(Act::gelu_erf);
    p.m = m;
    p.column_sums = sums(3072);
    return Dnn::takes(p);
  };
  EXPECT_TRUE(with_rows(kRows));
  EXPECT_TRUE(with_rows(4096));
  EXPECT_FALSE(with_rows(4096 + 64));
  EXPECT_FALSE(with_rows(3968));
}

// --- the choice ------------------------------------------------------------------------------------------------------

TEST(CudnnProvider, IsNeverChosenUnasked) {
  for (const Product& p : {biased(), hidden(Act::gelu_erf), added(), sloped(Act::quick_gelu)}) {
    for (const Provider provider : {Provider::automatic, Provider::own, Provider::lt}) {
      EXPECT_FALSE(Products(provider).prefers_dnn(p));
    }
    EXPECT_TRUE(Products(Provider::cudnn).prefers_dnn(p));
  }
  Products products(Provider::cudnn);
  const int before = own_products;
  products.compute(cpu_context(), linear_product(8, 16, 24));
  EXPECT_EQ(own_products, before + 1) << "what it does not take";
}

TEST(CudnnProvider, IsChosenByItsWord) {
  setenv("TESSERA_PRODUCTS", "cudnn", 1);
  EXPECT_EQ(cuda::provider_from_environment(), Provider::cudnn);
  unsetenv("TESSERA_PRODUCTS");
  EXPECT_EQ(cuda::provider_from_environment(), Provider::automatic);
}

}  // namespace
}  // namespace tessera::test
