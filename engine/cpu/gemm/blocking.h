#pragma once

// How a product is cut into blocks. Include inside the region of isa_begin.h.
#include "engine/cpu/gemm/left.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Extents of c [m,n] = a [m,k] b [n,k]^T for k units U, counted in tiles (panels of a), panels (of b) and blocks of k.
/// They depend on m, n and k alone, and the blocks of k on k alone: an element's bits do not depend on how many rows or
/// columns there are beside it.
template <class U>
struct Blocking {
  static constexpr int64_t kRows = Tile<U>::kRows;
  static constexpr int64_t kColumns = Tile<U>::kColumns;
  static constexpr int64_t kTile = kRows * kColumns;
  static constexpr auto kSize = static_cast<int64_t>(sizeof(U));

  /// The most units of k in a block. A longer block reads and writes partial sums less often, but a panel of b (96 KiB)
  /// and a block of packed a have to fit into the L2 cache together.
  static constexpr int64_t kMaxSteps = 768;
  /// Packed a of a block of rows: most of an L2 cache, which has 1 MiB or more beside AVX-512 and often 512 KiB
  /// without. The more rows, the less often b is read; the fewer, the more evenly threads share the blocks.
#if defined(TESSERA_ISA_AVX512)
  static constexpr int64_t kBlockBytes = int64_t{640} << 10;
#else
  static constexpr int64_t kBlockBytes = int64_t{320} << 10;
#endif
  /// Up to this size of a there is one block of rows, and packing b ahead of its only use does not pay.
  static constexpr int64_t kFewRowsBytes = int64_t{1408} << 10;
  /// The number of panels of b whose partial sums are held at a time.
  static constexpr int64_t kMaxGroup = 48;

  int64_t m, n, k;
  int64_t max_steps = kMaxSteps;
  int64_t tiles = ceil_div(m, kRows);
  int64_t panels = ceil_div(n, kColumns);
  int64_t steps = steps_per_block(k, max_steps);
  int64_t k_blocks = k == 0 ? 1 : ceil_div(k, steps);
  int64_t a_stride = left_stride<U>(steps);  // from one panel of a block to the next
  bool few_rows = tiles * kRows * steps * kSize <= kFewRowsBytes;
  int64_t row_blocks = blocks_of_rows();
  int64_t block_tiles = ceil_div(tiles, row_blocks);
  int64_t group = k_blocks == 1 ? panels : min_of(panels, kMaxGroup);

  /// Equal blocks, rounded up to 16 units.
  static int64_t steps_per_block(int64_t k, int64_t max_steps) {
    const int64_t blocks = max_of(1, ceil_div(k, max_steps));
    return min_of(k, ceil_div(ceil_div(k, blocks), 16) * 16);
  }
  /// Tiles of a block that fill kBlockBytes.
  [[nodiscard]] int64_t full_block() const { return max_of(1, kBlockBytes / (kRows * max_of(steps, 64) * kSize)); }
  /// An even number, so that two threads do the same amount of work.
  [[nodiscard]] int64_t blocks_of_rows() const {
    if (few_rows) return 1;
    const int64_t blocks = ceil_div(tiles, full_block());
    return blocks + blocks % 2;
  }
  /// Blocks differ by one tile at most.
  [[nodiscard]] int64_t first_tile(int64_t block) const { return tiles * block / row_blocks; }
  [[nodiscard]] int64_t first_step(int64_t k_block) const { return k_block * steps; }
  [[nodiscard]] int64_t steps_of(int64_t k_block) const { return min_of(steps, k - first_step(k_block)); }
  [[nodiscard]] int rows_at(int64_t tile) const { return static_cast<int>(min_of(kRows, m - tile * kRows)); }
  [[nodiscard]] int columns_at(int64_t panel) const { return static_cast<int>(min_of(kColumns, n - panel * kColumns)); }

  /// The part of the next panel of b that a tile should prefetch (see Prefetch). The tiles share the panel, a line
  /// every four steps.
  static const U* part_of_next(const U* next, int64_t tile, int64_t k_steps) {
    const int64_t part = k_steps / 4 * (64 / kSize);
    return (tile + 1) * part <= k_steps * kColumns ? next + tile * part : nullptr;
  }

  // Elements of buffers, in whole lines.
  [[nodiscard]] int64_t a_elements() const { return lines(block_tiles * a_stride); }
  [[nodiscard]] int64_t b_elements() const { return lines(steps * kColumns); }
  /// Panels of b, packed just before use, that make a task of some tens of microseconds.
  [[nodiscard]] int64_t panels_per_task() const {
    const int64_t work = max_of(16, m) * max_of(1, k) * kColumns;
    return min_of(panels, ceil_div(int64_t{1} << 22, work));
  }
  [[nodiscard]] int64_t sum_elements(int64_t panels_at_once) const {
    return lines((k_blocks == 1 ? 1 : block_tiles * panels_at_once) * kTile);
  }
  static int64_t lines(int64_t elements) { return ceil_div(elements, 64) * 64; }
};

}  // namespace tessera::cpu::TESSERA_ISA::gemm
