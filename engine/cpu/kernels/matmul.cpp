#include "engine/ops/matmul.h"

#include "engine/cpu/simd/isa_begin.h"
#include "engine/cpu/gemm/multiply.h"
#include "engine/cpu/tables.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

/// The last two dimensions of batch `b` of an operand; lines are rows for the left factor, columns for the right.
template <class T>
Factor<T> factor(const View& v, int64_t b, int line_dim, int k_dim) {
  const int64_t batch = v.rank == 3 ? b * v.stride(0) : 0;
  return {v.data<const T>() + batch, v.stride(line_dim), v.stride(k_dim)};
}

template <class T>
void matmul_as(Context& context, const MatmulArgs& a) {
  using V = typename VecOf<T>::Type;
  using E = typename V::Element;
  const int64_t batches = a.a.rank == 3 ? a.a.size(0) : 1;
  const int64_t m = a.a.size(-2);
  const int64_t k = a.a.size(-1);
  const int64_t n = a.b.size(-1);
  for (int64_t b = 0; b < batches; ++b) {
    E* c = a.c.data<E>() + (a.c.rank == 3 ? b * a.c.stride(0) : 0);
    const Factor<T> left = factor<T>(a.a, b, -2, -1);
    const Factor<T> right = factor<T>(a.b, b, -1, -2);
    const auto alpha = static_cast<E>(a.alpha);
    const bool accumulate = a.mode == GradMode::accumulate;
    if (a.c.stride(-1) == 1 || n == 1) {
      multiply_into<V>(context, left, right, m, n, k, c, a.c.stride(-2), alpha, accumulate);
    } else {
      // Columns of c are not dense: compute into dense rows, then copy.
      const Scratch dense(context, static_cast<size_t>(m * n) * sizeof(E));
      multiply_into<V>(context, left, right, m, n, k, dense.as<E>(), n, alpha, false);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          E& to = c[i * a.c.stride(-2) + j * a.c.stride(-1)];
          to = (accumulate ? to : E(0)) + dense.as<E>()[i * n + j];
        }
      }
    }
  }
}

void matmul(Context& context, const MatmulArgs& a) {
  switch (a.a.dtype) {
    case DType::f32:
      return matmul_as<float>(context, a);
    case DType::bf16:
      return matmul_as<bfloat16>(context, a);
    default:
      return matmul_as<double>(context, a);
  }
}

}  // namespace

extern const MatmulKernels kMatmulKernels;
const MatmulKernels kMatmulKernels{.matmul = matmul};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
