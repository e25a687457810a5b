#pragma once

#include "engine/cuda/products.h"

namespace tessera::test {

/// How often own kernels were asked for a product.
extern int own_products;

/// y [m, n] = x [m, k] wᵀ in bf16. The addresses are whole and belong to nobody.
cuda::Product linear_product(int64_t m, int64_t n, int64_t k);
cuda::ProductMatrix matrix(DType dtype, int64_t row_stride);

}  // namespace tessera::test
