#pragma once

// c [m,n] (+)= a b^T where c itself holds the partial sums. Made for long sums into an f32 matrix, such as the gradient
// of a weight. Include inside the region of isa_begin.h, and engine/runtime/context.h before it.
//
// Blocks of k come one after the other, and each reads and writes c once. So nothing is stored for all of k, which may
// be a hundred times the extents of c. The side that is packed ahead is written to memory and read again, so it is the
// smaller one; the larger one is packed into the caches just before its only use.
//
//   wide c   a is packed ahead; a task is a group of panels of b
//   tall c   b is packed ahead; a task is a block of rows
//
// Each task owns its tiles of c, so no sum is split.
#include "engine/cpu/gemm/blocking.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

template <class T>
class AccumulatedProduct {
 public:
  using E = Compute<T>;
  using U = Unit<T>;
  using Sizes = Blocking<U>;

  AccumulatedProduct(int64_t m, int64_t n, int64_t k, const Operand<T>& a, const Operand<T>& b, E* c, int64_t c_stride)
      : wide_(n >= m && m * kLeastSteps * Sizes::kSize <= Sizes::kFewRowsBytes),
        sizes_{.m = m, .n = n, .k = units<U>(k), .max_steps = wide_ ? steps_that_fit(m) : Sizes::kMaxSteps},
        k_(k),
        a_(a),
        b_(b),
        c_(c),
        c_stride_(c_stride) {}

  void run(Context& context, bool add) {
    if (sizes_.m == 0 || sizes_.n == 0) return;
    const int64_t each = sizes_.a_elements() + sizes_.b_elements() + Sizes::lines(Sizes::kTile);
    const Scratch packed(context, bytes(wide_ ? sizes_.tiles * sizes_.a_stride : sizes_.panels * sizes_.b_elements()));
    const Scratch scratch(context, bytes(each * threads(context).threads()));
    for (int64_t block = 0; block < sizes_.k_blocks; ++block) {
      const auto buffers = [&](int thread) {
        U* memory = scratch.template as<U>() + thread * each;
        U* b = memory + sizes_.a_elements();
        return Buffers{memory, b, reinterpret_cast<E*>(b + sizes_.b_elements())};
      };
      if (wide_) {
        wide_block(context, block, packed.template as<U>(), buffers, add || block > 0);
      } else {
        tall_block(context, block, packed.template as<U>(), buffers, add || block > 0);
      }
    }
  }

 private:
  struct Buffers {
    U* a;
    U* b;
    E* edge;
  };
  /// Fewer steps than this would read and write c too often.
  static constexpr int64_t kLeastSteps = 256;
  static int64_t steps_that_fit(int64_t m) {
    return min_of(Sizes::kMaxSteps, Sizes::kFewRowsBytes / max_of(1, m * Sizes::kSize));
  }
  static size_t bytes(int64_t elements) { return static_cast<size_t>(elements) * sizeof(U); }

  template <class BuffersOf>
  void wide_block(Context& context, int64_t k_block, U* a, const BuffersOf& buffers, bool add) const {
    const int64_t grain = max_of(1, 2 * kGrain / max_of(1, sizes_.a_stride));
    parallel_for(context, sizes_.tiles, grain,
                 [&](int64_t begin, int64_t end, int) { pack_left(begin, end, k_block, a + begin * sizes_.a_stride); });
    parallel_for(context, sizes_.panels, sizes_.panels_per_task(), [&](int64_t begin, int64_t end, int thread) {
      const Buffers buffer = buffers(thread);
      for (int64_t panel = begin; panel < end; ++panel) {
        pack_right(panel, panel + 1, k_block, buffer.b);
        compute(0, sizes_.tiles, panel, k_block, a, buffer.b, nullptr, buffer.edge, add);
      }
    });
  }

  template <class BuffersOf>
  void tall_block(Context& context, int64_t k_block, U* b, const BuffersOf& buffers, bool add) const {
    const int64_t grain = max_of(4, 2 * kGrain / max_of(1, sizes_.b_elements()));
    parallel_for(context, sizes_.panels, grain, [&](int64_t begin, int64_t end, int) {
      pack_right(begin, end, k_block, b + begin * sizes_.b_elements());
    });
    parallel_for(context, sizes_.row_blocks, 1, [&](int64_t begin, int64_t end, int thread) {
      const Buffers buffer = buffers(thread);
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = sizes_.first_tile(block);
        const int64_t last = sizes_.first_tile(block + 1);
        pack_left(first, last, k_block, buffer.a);
        for (int64_t panel = 0; panel < sizes_.panels; ++panel) {
          const U* at = b + panel * sizes_.b_elements();
          compute(first, last, panel, k_block, buffer.a, at, at + sizes_.b_elements(), buffer.edge, add);
        }
      }
    });
  }

  void pack_left(int64_t begin, int64_t end, int64_t k_block, U* out) const {
    const int64_t first = begin * Sizes::kRows;
    const int64_t rows = min_of(end * Sizes::kRows, sizes_.m) - first;
    pack_left_panels(a_, first, rows, sizes_.first_step(k_block), sizes_.steps_of(k_block), k_, out, sizes_.a_stride);
  }
  void pack_right(int64_t begin, int64_t end, int64_t k_block, U* out) const {
    const int64_t first = begin * Sizes::kColumns;
    const int64_t rows = min_of(end * Sizes::kColumns, sizes_.n) - first;
    pack_panels<Sizes::kColumns>(b_, first, rows, sizes_.first_step(k_block), sizes_.steps_of(k_block), k_, out,
                                 sizes_.b_elements());
  }

  /// Tiles [first, last) of a panel; a begins with tile `first`. `next` is the panel to prefetch meanwhile, or null.
  void compute(int64_t first, int64_t last, int64_t panel, int64_t k_block, const U* a, const U* b, const U* next,
               E* edge, bool add) const {
    const int64_t steps = sizes_.steps_of(k_block);
    for (int64_t i = 0; i < last - first; ++i, a += sizes_.a_stride) {
      const U* part = next == nullptr ? nullptr : Sizes::part_of_next(next, i, steps);
      compute_tile(first + i, panel, steps, a, b, part, edge, add);
    }
  }

  void compute_tile(int64_t tile, int64_t panel, int64_t steps, const U* a, const U* b, const U* next, E* edge,
                    bool add) const {
    using V = typename VecOf<E>::Type;
    E* c = c_ + tile * Sizes::kRows * c_stride_ + panel * Sizes::kColumns;
    const int rows = sizes_.rows_at(tile);
    const int columns = sizes_.columns_at(panel);
    if (columns == Sizes::kColumns) {
      return micro_tile(steps, a, b, rows, columns, c, c_stride_, add,
                        {.first = c, .stride = c_stride_ * Sizes::kSize, .next = next});
    }
    micro_tile(steps, a, b, rows, columns, edge, Sizes::kColumns, false);
    for (int64_t r = 0; r < rows; ++r) {
      sweep<V>(columns, [&](int64_t j, auto count) TESSERA_INLINE_BODY {
        put(load<V>(edge + r * Sizes::kColumns + j, count), c + r * c_stride_ + j, add, count);
      });
    }
  }

  bool wide_;
  Sizes sizes_;
  int64_t k_;
  Operand<T> a_, b_;
  E* c_;
  int64_t c_stride_;
};

/// c [m,n], rows c_stride apart, = a b^T, added to c where `add` is set.
template <class T>
void accumulate_product(Context& context, int64_t m, int64_t n, int64_t k, const Operand<T>& a, const Operand<T>& b,
                        Compute<T>* c, int64_t c_stride, bool add) {
  AccumulatedProduct<T>(m, n, k, a, b, c, c_stride).run(context, add);
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
