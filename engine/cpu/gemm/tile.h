#pragma once

// The register tile of the matrix product: kRows x kColumns sums that stay in registers over the whole sweep of k.
// Include inside the region of isa_begin.h; includes no standard header.
//
//   a panel   k steps of kRows elements:      a[i * kRows + r]     made by pack_panels<kRows>
//   b panel   k steps of kColumns elements:   b[i * kColumns + j]  made by pack_panels<kColumns>
//
// Every sum is taken over ascending i by one chain of fused multiply-adds (multiply, then add, on portable and in f64),
// for any number of rows and columns. An element's bits therefore depend on its own row, its own column
// and the blocking of k alone, never on its place in a tile.

#include "engine/cpu/gemm/unit.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

/// Memory to prefetch while the tile is computed; null means none.
struct Prefetch {
  const void* first = nullptr;  // what is written: two adjacent lines for each row of the tile, `stride` bytes apart
  int64_t stride = 0;
  const void* next = nullptr;   // for the L2 cache: what is read after this tile, a line every four steps of k
  const void* other = nullptr;  // two lines for each row of another matrix that goes with the result
  int64_t other_stride = 0;
};

/// Extents of the register tile for units U (see unit.h): kRows and kColumns.
template <class U>
struct Tile;
/// How many units of a row lie side by side in a left panel (see left.h).
template <class U>
inline constexpr int kUnitsOfRow = 1;

/// c[r * stride + j] (+)= sum over i < k of a[i * kRows + r] * b[i * kColumns + j], r < rows, j < columns.
/// 1 <= rows <= kRows, 1 <= columns <= kColumns. Where `add` is set the sum is added to what c holds. Whole registers
/// are read and written: c needs room for kColumns columns, and b must be aligned to 64 bytes. k may be 0.
void micro_tile(int64_t k, const float* a, const float* b, int rows, int columns, float* c, int64_t stride, bool add,
                const Prefetch& prefetch = {});
/// The same for k pairs, in tables that have such products. They take bf16 numbers below the normal range for zeros.
void micro_tile(int64_t k, const Pair* a, const Pair* b, int rows, int columns, float* c, int64_t stride, bool add,
                const Prefetch& prefetch = {});
void micro_tile(int64_t k, const double* a, const double* b, int rows, int columns, double* c, int64_t stride, bool add,
                const Prefetch& prefetch = {});

}  // namespace tessera::cpu::TESSERA_ISA::gemm

#if defined(TESSERA_ISA_AVX512)
#include "engine/cpu/gemm/tile_avx512.h"
#elif defined(TESSERA_ISA_AVX2)
#include "engine/cpu/gemm/tile_avx2.h"
#else
#include "engine/cpu/gemm/tile_portable.h"
#endif
#if defined(TESSERA_BF16_TILES)
#include "engine/cpu/gemm/tile_amx.h"
#endif
#include "engine/cpu/gemm/tile_f64.h"
