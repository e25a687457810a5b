#pragma once

// c [m,n] (+)= a b^T where c itself keeps the partial sums: for long sums into a matrix of f32, as the gradient of a
// weight is. Include inside the region of isa_begin.h, and engine/runtime/context.h before it.
//
// Blocks of k come one after the other. In each, b [n, steps] is packed by all threads, then tasks take blocks of rows
// of c, pack their a, and add their tiles to c. b is packed once and c is read and written once for a block of k;
// nothing is kept for all of k, which may be a hundred times the extents of c. Threads own tiles of c: no sum is split.
#include "engine/cpu/gemm/blocking.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

template <class T>
class AccumulatedProduct {
 public:
  using E = Compute<T>;
  using Sizes = Blocking<E>;

  AccumulatedProduct(int64_t m, int64_t n, int64_t k, const Operand<T>& a, const Operand<T>& b, E* c, int64_t c_stride)
      : sizes_{.m = m, .n = n, .k = k}, a_(a), b_(b), c_(c), c_stride_(c_stride) {
    // Few rows still make a few tasks; where that is not enough, columns are cut too and a is packed again.
    sizes_.row_blocks = max_of(sizes_.row_blocks, min_of(sizes_.tiles, work() < kTaskWork ? 1 : 4));
    sizes_.block_tiles = ceil_div(sizes_.tiles, max_of(1, sizes_.row_blocks));
    column_tasks_ = sizes_.row_blocks >= 4 || work() < kTaskWork ? 1 : min_of(sizes_.panels, 4);
  }

  void run(Context& context, bool add) {
    if (sizes_.m == 0 || sizes_.n == 0) return;
    const int64_t each = sizes_.a_elements() + Sizes::lines(Sizes::kTile);
    const Scratch packed(context, bytes(sizes_.panels * sizes_.b_elements()));
    const Scratch scratch(context, bytes(each * context.threads().threads()));
    for (int64_t block = 0; block < sizes_.k_blocks; ++block) {
      pack_right(context, block, packed.template as<E>());
      context.parallel_for(sizes_.row_blocks * column_tasks_, 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t task = begin; task < end; ++task) {
          compute(task, block, packed.template as<E>(), scratch.template as<E>() + thread * each, add || block > 0);
        }
      });
    }
  }

 private:
  static constexpr int64_t kTaskWork = int64_t{1} << 23;
  static size_t bytes(int64_t elements) { return static_cast<size_t>(elements) * sizeof(E); }
  /// Multiply-adds of a block of k.
  [[nodiscard]] int64_t work() const { return sizes_.m * sizes_.n * sizes_.steps; }

  /// Packs a block of b: [panel][step][kColumns].
  void pack_right(Context& context, int64_t k_block, E* out) const {
    const int64_t grain = max_of(4, 2 * kGrain / max_of(1, sizes_.b_elements()));
    context.parallel_for(sizes_.panels, grain, [&](int64_t begin, int64_t end, int) {
      const int64_t first = begin * Sizes::kColumns;
      const int64_t rows = min_of(end * Sizes::kColumns, sizes_.n) - first;
      pack_panels<Sizes::kColumns>(b_, first, rows, sizes_.first_step(k_block), sizes_.steps_of(k_block),
                                   out + begin * sizes_.b_elements(), sizes_.b_elements());
    });
  }

  void compute(int64_t task, int64_t k_block, const E* b, E* workspace, bool add) const {
    const int64_t first_tile = sizes_.first_tile(task / column_tasks_);
    const int64_t last_tile = sizes_.first_tile(task / column_tasks_ + 1);
    const int64_t first_panel = sizes_.panels * (task % column_tasks_) / column_tasks_;
    const int64_t last_panel = sizes_.panels * (task % column_tasks_ + 1) / column_tasks_;
    const int64_t steps = sizes_.steps_of(k_block);
    const int64_t first = first_tile * Sizes::kRows;
    const int64_t rows = min_of(last_tile * Sizes::kRows, sizes_.m) - first;
    pack_panels<Sizes::kRows>(a_, first, rows, sizes_.first_step(k_block), steps, workspace, sizes_.a_stride);
    E* edge = workspace + sizes_.a_elements();
    for (int64_t panel = first_panel; panel < last_panel; ++panel) {
      for (int64_t tile = first_tile; tile < last_tile; ++tile) {
        compute_tile(tile, panel, steps, workspace + (tile - first_tile) * sizes_.a_stride,
                     b + panel * sizes_.b_elements(), edge, add);
      }
    }
  }

  void compute_tile(int64_t tile, int64_t panel, int64_t steps, const E* a, const E* b, E* edge, bool add) const {
    using V = typename VecOf<E>::Type;
    E* c = c_ + tile * Sizes::kRows * c_stride_ + panel * Sizes::kColumns;
    const int rows = sizes_.rows_at(tile);
    const int columns = sizes_.columns_at(panel);
    if (columns == Sizes::kColumns) {
      return micro_tile(steps, a, b, rows, columns, c, c_stride_, add, {c, c_stride_ * Sizes::kSize});
    }
    micro_tile(steps, a, b, rows, columns, edge, Sizes::kColumns, false);
    for (int64_t r = 0; r < rows; ++r) {
      sweep<V>(columns, [&](int64_t j, auto count) TESSERA_INLINE_BODY {
        put(load<V>(edge + r * Sizes::kColumns + j, count), c + r * c_stride_ + j, add, count);
      });
    }
  }

  Sizes sizes_;
  Operand<T> a_, b_;
  E* c_;
  int64_t c_stride_;
  int64_t column_tasks_;
};

/// c [m,n], rows c_stride apart, = a b^T, added to c where `add` is set.
template <class T>
void accumulate_product(Context& context, int64_t m, int64_t n, int64_t k, const Operand<T>& a, const Operand<T>& b,
                        Compute<T>* c, int64_t c_stride, bool add) {
  AccumulatedProduct<T>(m, n, k, a, b, c, c_stride).run(context, add);
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
