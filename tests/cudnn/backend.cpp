// What products.cpp and dnn.cpp call, without a device. cuBLASLt takes nothing here, and own kernels are counted.
#include "tests/cudnn/backend.h"

#include "engine/cuda/stream.h"

namespace tessera::cuda {

struct Lt::State {};
Lt::Lt() = default;
Lt::~Lt() = default;
bool Lt::takes(const Product& /*product*/) { return false; }
bool Lt::compute(Context& /*context*/, const Product& /*product*/) { return false; }

cudaStream_t stream_of(Context& /*context*/) { return nullptr; }
void launched(const char* /*kernel*/, cudaStream_t /*stream*/) {}
void own_product(Context& /*context*/, const Product& /*product*/) { ++test::own_products; }
Products& products_of(Context& /*context*/) {
  static Products products(Provider::own);
  return products;
}

}  // namespace tessera::cuda

namespace tessera::test {

int own_products = 0;

cuda::Product linear_product(int64_t m, int64_t n, int64_t k) {
  // Nothing reads it.
  static void* const memory = reinterpret_cast<void*>(uintptr_t{0x10000});
  cuda::Product p{.dtype = DType::bf16, .m = m, .n = n, .k = k};
  p.left = {.data = memory, .line_stride = k};
  p.right = {.data = memory, .line_stride = k};
  p.y = matrix(DType::bf16, n);
  p.y.data = static_cast<char*>(memory) + 256;
  return p;
}

cuda::ProductMatrix matrix(DType dtype, int64_t row_stride) {
  cuda::ProductMatrix m;
  m.data = reinterpret_cast<void*>(uintptr_t{0x20000});
  m.dtype = dtype;
  m.row_stride = row_stride;
  return m;
}

}  // namespace tessera::test
