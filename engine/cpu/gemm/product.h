#pragma once

// Products c = a b^T on the threads of a context. a [m,k] and b [n,k] are Operands with any strides, so the same code
// computes x W^T, dy W and dy^T x. Include inside the region of isa_begin.h, and engine/runtime/context.h before it.
//
// Within a block of rows and a block of k, each panel of b meets each panel of a in one register tile. Partial sums of
// the blocks of k stay in a buffer of whole tiles; the epilogue reads a finished tile from the L1 cache.
//
//   many rows   b is packed ahead, once, by all threads; a task is a block of rows and packs its own a
//   few rows    a is packed ahead; a task is a group of panels of b, each packed just before its only use
//
// A task owns its part of the result, and no sum is shared between tasks, so results do not depend on the number of
// threads.
#include "engine/cpu/gemm/blocking.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

/// Where a tile lies in the result. rows and columns are its valid extents.
struct TilePlace {
  int64_t row, column;
  int rows, columns;
};

/// Receives each finished tile once, on any thread.
template <class E>
struct Epilogue {
  const void* self;
  /// `tile` has rows of as many elements as the register tile has columns.
  void (*store)(const void* self, const E* tile, const TilePlace& place);
  /// The cache lines of the result that store will write.
  Prefetch (*output)(const void* self, int64_t row, int64_t column);
};
/// The epilogue of a class with kColumns, the columns of the register tile, and members store(tile, place, columns) and
/// output(row, column). `columns` are those of the place, as a constant for a whole tile, so that loops over it unroll.
template <class E, class Self>
Epilogue<E> epilogue_of(const Self& self) {
  return {&self,
          [](const void* p, const E* tile, const TilePlace& place) {
            // Copies, because the compiler reads what lies behind a pointer again after every store.
            const Self local = *static_cast<const Self*>(p);
            const TilePlace at = place;
            at.columns == Self::kColumns ? local.store(tile, at, Self::kColumns) : local.store(tile, at, at.columns);
          },
          [](const void* p, int64_t row, int64_t column) { return static_cast<const Self*>(p)->output(row, column); }};
}

/// The right side of a product: rows in memory or, where `panels` is set, bf16 panels packed earlier:
/// [panel][k][kColumns] units, where a unit that is no pair is kept as one bf16.
template <class T>
struct RightSide {
  Operand<T> rows;
  const bfloat16* panels = nullptr;
};

template <class TA, class TB>
class Product {
 public:
  using E = Compute<TB>;
  using U = Unit<TB>;
  using Sizes = Blocking<U>;
  static constexpr bool kPairs = UnitTraits<U>::kSteps == 2;

  Product(int64_t m, int64_t n, int64_t k, const Operand<TA>& a, const RightSide<TB>& b, const Epilogue<E>& epilogue)
      : sizes_{.m = m, .n = n, .k = units<U>(k)}, k_(k), a_(a), b_(b), epilogue_(epilogue) {
    if constexpr (kPairs) packed_b_ = reinterpret_cast<const U*>(b.panels);
  }

  void run(Context& context) {
    if (sizes_.m == 0 || sizes_.n == 0) return;
    if (sizes_.few_rows) {
      run_few_rows(context);
    } else {
      run_many_rows(context);
    }
  }

  /// Elements of the workspace of run_alone.
  [[nodiscard]] int64_t workspace_elements() const {
    return sizes_.a_elements() + sizes_.b_elements() + sizes_.sum_elements(sizes_.group);
  }
  /// Computes the whole product on the calling thread, with the same bits as run.
  void run_alone(U* workspace) const {
    if (sizes_.m == 0 || sizes_.n == 0) return;
    for (int64_t block = 0; block < sizes_.row_blocks; ++block) compute_rows(block, workspace);
  }

 private:
  struct Buffers {
    U* a;
    U* b;
    E* sums;
  };
  static size_t bytes(int64_t elements) { return static_cast<size_t>(elements) * sizeof(U); }

  void run_many_rows(Context& context) {
    // Kept panels of single bf16 are widened to f32 in each block instead, which reads half as much.
    const bool ahead = b_.panels == nullptr;
    const Scratch packed(context, ahead ? bytes(sizes_.panels * sizes_.k * Sizes::kColumns) : 0);
    if (ahead) pack_right(context, packed.template as<U>());
    const int64_t each = workspace_elements();
    const Scratch scratch(context, bytes(each * threads(context).threads()));
    parallel_for(context, sizes_.row_blocks, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t block = begin; block < end; ++block) {
        compute_rows(block, scratch.template as<U>() + thread * each);
      }
    });
  }

  void run_few_rows(Context& context) {
    const Scratch packed(context, bytes(sizes_.k_blocks * sizes_.a_elements()));
    pack_left(context, packed.template as<U>());
    // With several blocks of k, packed a comes from beyond the L2 cache, so the panels of a task share what is read.
    const int64_t group = min_of(sizes_.panels, max_of(sizes_.k_blocks == 1 ? 1 : 6, sizes_.panels_per_task()));
    const int64_t each = sizes_.b_elements() + sizes_.sum_elements(group);
    const Scratch scratch(context, bytes(each * threads(context).threads()));
    parallel_for(context, sizes_.panels, group, [&](int64_t begin, int64_t end, int thread) {
      U* memory = scratch.template as<U>() + thread * each;
      compute(0, sizes_.tiles, begin, end, {nullptr, memory, reinterpret_cast<E*>(memory + sizes_.b_elements())});
    });
  }

  /// Packs all of b: [panel][k][kColumns].
  void pack_right(Context& context, U* out) {
    const int64_t stride = sizes_.k * Sizes::kColumns;
    const int64_t grain = max_of(1, 2 * kGrain / max_of(1, stride));
    parallel_for(context, sizes_.panels, grain, [&](int64_t begin, int64_t end, int) {
      const int64_t first = begin * Sizes::kColumns;
      const int64_t rows = min_of(end * Sizes::kColumns, sizes_.n) - first;
      pack_panels<Sizes::kColumns>(b_.rows, first, rows, 0, sizes_.k, k_, out + begin * stride, stride);
    });
    packed_b_ = out;
  }

  /// Packs all of a: [block of k][tile][step][kRows].
  void pack_left(Context& context, U* out) {
    const int64_t grain = max_of(1, 2 * kGrain / max_of(1, sizes_.k * Sizes::kRows));
    parallel_for(context, sizes_.tiles, grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t block = 0; block < sizes_.k_blocks; ++block) {
        pack_tiles(begin, end, block, out + block * sizes_.a_elements() + begin * sizes_.a_stride);
      }
    });
    packed_a_ = out;
  }

  void pack_tiles(int64_t begin, int64_t end, int64_t k_block, U* out) const {
    const int64_t first = begin * Sizes::kRows;
    const int64_t rows = min_of(end * Sizes::kRows, sizes_.m) - first;
    pack_left_panels(a_, first, rows, sizes_.first_step(k_block), sizes_.steps_of(k_block), k_, out, sizes_.a_stride);
  }

  const U* left(int64_t begin, int64_t end, int64_t k_block, U* buffer) const {
    if (packed_a_ != nullptr) return packed_a_ + k_block * sizes_.a_elements() + begin * sizes_.a_stride;
    pack_tiles(begin, end, k_block, buffer);
    return buffer;
  }

  const U* right(int64_t panel, int64_t k_block, U* buffer) const {
    const int64_t first = sizes_.first_step(k_block);
    const int64_t steps = sizes_.steps_of(k_block);
    const int64_t at = (panel * sizes_.k + first) * Sizes::kColumns;
    if (packed_b_ != nullptr) return packed_b_ + at;
    if constexpr (!kPairs && sizeof(E) == sizeof(float)) {
      if (b_.panels != nullptr) {
        sweep<VecF>(steps * Sizes::kColumns, [&](int64_t i, auto count) TESSERA_INLINE_BODY {
          store(load<VecF>(b_.panels + at + i, count), buffer + i, count);
        });
        return buffer;
      }
    }
    pack_panels<Sizes::kColumns>(b_.rows, panel * Sizes::kColumns, sizes_.columns_at(panel), first, steps, k_, buffer,
                                 steps * Sizes::kColumns);
    return buffer;
  }

  /// A block of rows, all columns.
  void compute_rows(int64_t block, U* workspace) const {
    U* b = workspace + sizes_.a_elements();
    const Buffers buffers{workspace, b, reinterpret_cast<E*>(b + sizes_.b_elements())};
    for (int64_t panel = 0; panel < sizes_.panels; panel += sizes_.group) {
      compute(sizes_.first_tile(block), sizes_.first_tile(block + 1), panel,
              min_of(panel + sizes_.group, sizes_.panels), buffers);
    }
  }

  void compute(int64_t first_tile, int64_t last_tile, int64_t first_panel, int64_t last_panel,
               const Buffers& buffers) const {
    for (int64_t block = 0; block < sizes_.k_blocks; ++block) {
      const U* a = left(first_tile, last_tile, block, buffers.a);
      E* sums = buffers.sums;
      for (int64_t panel = first_panel; panel < last_panel; ++panel) {
        const U* b = right(panel, block, buffers.b);
        for (int64_t tile = first_tile; tile < last_tile; ++tile) {
          const int64_t i = tile - first_tile;
          // Panels packed ahead come from beyond the L2 cache, so the next one is prefetched while this one is in use.
          const U* next = packed_b_ == nullptr
                              ? nullptr
                              : Sizes::part_of_next(b + sizes_.k * Sizes::kColumns, i, sizes_.steps_of(block));
          compute_tile(tile, panel, block, a + i * sizes_.a_stride, b, next, sums);
          if (sizes_.k_blocks > 1) sums += Sizes::kTile;
        }
      }
    }
  }

  void compute_tile(int64_t tile, int64_t panel, int64_t k_block, const U* a, const U* b, const U* next,
                    E* sums) const {
    const TilePlace place{tile * Sizes::kRows, panel * Sizes::kColumns, sizes_.rows_at(tile), sizes_.columns_at(panel)};
    const bool last = k_block + 1 == sizes_.k_blocks;
    Prefetch prefetch = last ? epilogue_.output(epilogue_.self, place.row, place.column)
                             : Prefetch{.first = sums, .stride = Sizes::kColumns * Sizes::kSize};
    prefetch.next = next;
    micro_tile(sizes_.steps_of(k_block), a, b, place.rows, place.columns, sums, Sizes::kColumns, k_block > 0, prefetch);
    if (last) epilogue_.store(epilogue_.self, sums, place);
  }

  Sizes sizes_;
  int64_t k_;
  Operand<TA> a_;
  RightSide<TB> b_;
  Epilogue<E> epilogue_;
  const U* packed_a_ = nullptr;
  const U* packed_b_ = nullptr;
};

/// c = a b^T through an epilogue, on all threads. With k = 0, tiles of zeros reach the epilogue.
template <class TA, class TB>
void product(Context& context, int64_t m, int64_t n, int64_t k, const Operand<TA>& a, const RightSide<TB>& b,
             const Epilogue<Compute<TB>>& epilogue) {
  Product<TA, TB>(m, n, k, a, b, epilogue).run(context);
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
