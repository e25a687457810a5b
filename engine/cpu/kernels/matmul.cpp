#include "engine/ops/matmul.h"

#include "engine/cpu/host.h"
#include "engine/cpu/tables.h"

// The rest lies inside the region of the instruction set.
#include "engine/cpu/simd/isa_begin.h"

#include "engine/cpu/gemm/product.h"

namespace tessera::cpu::TESSERA_ISA {
namespace {

using gemm::Compute;
using gemm::Operand;
using gemm::Prefetch;
using gemm::RightSide;
using gemm::Tile;
using gemm::TilePlace;

/// c (+)= alpha · sum, any strides. T: type of the operands.
template <class T>
struct MatmulEpilogue {
  using E = Compute<T>;
  using V = typename VecOf<E>::Type;
  static constexpr int kColumns = Tile<gemm::Unit<T>>::kColumns;
  E* c;
  int64_t row_stride, column_stride;
  E alpha;
  bool accumulate;

  TESSERA_INLINE void store(const E* tile, const TilePlace& p, int columns) const {
    E* row = c + p.row * row_stride + p.column * column_stride;
    for (int i = 0; i < p.rows; ++i, tile += kColumns, row += row_stride) {
      if (column_stride == 1) {
        sweep<V>(columns, [&](int64_t j, auto count) TESSERA_INLINE_BODY {
          put(load<V>(tile + j, count) * V(alpha), row + j, accumulate, count);
        });
      } else {
        for (int j = 0; j < columns; ++j) {
          E& to = row[j * column_stride];
          to = accumulate ? to + tile[j] * alpha : tile[j] * alpha;
        }
      }
    }
  }
  [[nodiscard]] Prefetch output(int64_t row, int64_t column) const {
    return {.first = c + row * row_stride + column * column_stride,
            .stride = row_stride * static_cast<int64_t>(sizeof(E))};
  }
};

/// A matrix of a batch: element (i, j) is data[i * rows + j * columns].
template <class T>
struct Strided {
  T* data;
  int64_t rows, columns, batch;

  explicit Strided(const View& v)
      : data(v.data<T>()), rows(v.stride(-2)), columns(v.stride(-1)), batch(v.rank == 3 ? v.stride(0) : 0) {}
};

template <class T>
void matmul_as(Context& context, const MatmulArgs& args) {
  using E = Compute<T>;
  /// A product with this many multiply-adds is worth all threads.
  constexpr int64_t kSharedWork = int64_t{1} << 24;
  const Strided<const T> a(args.a);
  const Strided<const T> b(args.b);
  const Strided<E> c(args.c);
  const int64_t count = args.c.rank == 3 ? args.c.size(0) : 1;
  const int64_t m = args.c.size(-2);
  const int64_t n = args.c.size(-1);
  const int64_t k = args.a.size(-1);
  if (count == 0) return;
  // Adjacent elements of the result should be columns of tiles. Where they are not, compute the transpose, cᵀ = bᵀ aᵀ.
  const bool swap = c.columns != 1 && c.rows == 1;
  const auto with_product = [&](int64_t i, auto body) {
    const Operand<T> left{a.data + i * a.batch, a.rows, a.columns};
    const Operand<T> right{b.data + i * b.batch, b.columns, b.rows};
    const MatmulEpilogue<T> epilogue{.c = c.data + i * c.batch,
                                     .row_stride = swap ? c.columns : c.rows,
                                     .column_stride = swap ? c.rows : c.columns,
                                     .alpha = static_cast<E>(args.alpha),
                                     .accumulate = args.mode == GradMode::accumulate};
    body(gemm::Product<T, T>(swap ? n : m, swap ? m : n, k, swap ? right : left, {.rows = swap ? left : right},
                             gemm::epilogue_of<E>(epilogue)));
  };
  const int64_t work = max_of(1, m * n * k);
  if (count == 1 || work >= kSharedWork) {
    for (int64_t i = 0; i < count; ++i) with_product(i, [&](auto product) { product.run(context); });
    return;
  }
  int64_t each = 0;
  with_product(0, [&](const auto& product) { each = product.workspace_elements(); });
  const Scratch scratch(context, static_cast<size_t>(each * threads(context).threads()) * sizeof(E));
  parallel_for(context, count, max_of(1, (kSharedWork / 8) / work), [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i) {
      with_product(
          i, [&](const auto& product) { product.run_alone(scratch.template as<gemm::Unit<T>>() + thread * each); });
    }
  });
}

void matmul(Context& context, const MatmulArgs& a) {
  by_type(a.a.dtype, [&](auto zero) { matmul_as<decltype(zero)>(context, a); });
}

}  // namespace

extern const MatmulKernels kMatmulKernels;
const MatmulKernels kMatmulKernels{.matmul = matmul};

}  // namespace tessera::cpu::TESSERA_ISA

#include "engine/cpu/simd/isa_end.h"
