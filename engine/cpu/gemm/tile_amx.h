#pragma once

// The tile of bf16 pairs by AMX: 32 rows x 32 columns, in 2 x 2 tile registers of 16 x 16 sums.
//
// A step of 16 units (32 steps of k) loads two tiles of a and two of b and issues four products, so that each tile is
// used twice. a panels have 16 adjacent units for each row (left.h); b panels are those of every other table. Sums
// begin at zero and are added to c afterwards, so that whole and partial tiles round alike.
//
// Without the instructions (table amx_model, which only tests use) a model in plain C++ takes their place.
namespace tessera::cpu::TESSERA_ISA::gemm {

template <>
struct Tile<Pair> {
  static constexpr int kRows = 32;
  static constexpr int kColumns = 32;
};
template <>
inline constexpr int kUnitsOfRow<Pair> = 16;

inline constexpr int kTileSide = 16;  // rows, units and columns of a tile register

#if defined(TESSERA_ISA_AVX512)

/// The shape of the tile registers of this thread: all 16 rows of 64 bytes. peak.cpp sets the same.
inline void configure_tiles() {
  struct alignas(64) Shape {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  };
  static thread_local bool done = false;
  if (done) return;
  Shape shape{.palette = 1, .start = 0, .reserved = {}, .row_bytes = {}, .rows = {}};
  for (int i = 0; i < 8; ++i) {
    shape.row_bytes[i] = 64;
    shape.rows[i] = kTileSide;
  }
  _tile_loadconfig(&shape);
  done = true;
}
// Numbers of tile registers are part of an instruction, therefore macros.
#define TESSERA_TILE_ZERO(t) _tile_zero(t)
#define TESSERA_TILE_LOAD(t, p, stride) _tile_loadd(t, p, stride)
#define TESSERA_TILE_STORE(t, p, stride) _tile_stored(t, p, stride)
#define TESSERA_TILE_MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)

#else

/// What the instructions do to eight registers of 16 rows of 64 bytes.
struct TileModel {
  uint32_t words[8][kTileSide][kTileSide] = {};

  void load(int t, const void* p, int64_t stride) {
    for (int r = 0; r < kTileSide; ++r) __builtin_memcpy(words[t][r], static_cast<const char*>(p) + r * stride, 64);
  }
  void store(int t, void* p, int64_t stride) const {
    for (int r = 0; r < kTileSide; ++r) __builtin_memcpy(static_cast<char*>(p) + r * stride, words[t][r], 64);
  }
  static float part(uint32_t pair, bool upper) {
    const uint32_t bits = upper ? pair & 0xffff0000u : pair << 16;
    return (bits & 0x7f800000u) == 0 ? 0.0f : __builtin_bit_cast(float, bits);
  }
  /// Even and odd steps are summed by themselves. Products of two bf16 are exact in f32.
  void multiply(int c, int a, int b) {
    for (int r = 0; r < kTileSide; ++r) {
      float even[kTileSide] = {}, odd[kTileSide] = {};
      for (int u = 0; u < kTileSide; ++u) {
        const float x = part(words[a][r][u], false), y = part(words[a][r][u], true);
        for (int j = 0; j < kTileSide; ++j) {
          even[j] += x * part(words[b][u][j], false);
          odd[j] += y * part(words[b][u][j], true);
        }
      }
      for (int j = 0; j < kTileSide; ++j) {
        const float sum = __builtin_bit_cast(float, words[c][r][j]) + (even[j] + odd[j]);
        words[c][r][j] = __builtin_bit_cast(uint32_t, sum);
      }
    }
  }
};
inline thread_local TileModel tile_model;
inline void configure_tiles() {}
#define TESSERA_TILE_ZERO(t) __builtin_memset(tile_model.words[t], 0, sizeof(tile_model.words[t]))
#define TESSERA_TILE_LOAD(t, p, stride) tile_model.load(t, p, stride)
#define TESSERA_TILE_STORE(t, p, stride) tile_model.store(t, p, stride)
#define TESSERA_TILE_MULTIPLY(c, a, b) tile_model.multiply(c, a, b)

#endif

/// Tile registers: 0 to 3 the sums, 4 and 5 of a, 6 and 7 of b.
template <bool two_rows, bool two_columns>
TESSERA_INLINE void multiply_tiles(const Pair* a, const Pair* b) {
  constexpr int64_t kBytesA = kTileSide * sizeof(Pair), kBytesB = Tile<Pair>::kColumns * sizeof(Pair);
  TESSERA_TILE_LOAD(6, b, kBytesB);
  TESSERA_TILE_LOAD(4, a, kBytesA);
  TESSERA_TILE_MULTIPLY(0, 4, 6);
  if constexpr (two_columns) {
    TESSERA_TILE_LOAD(7, b + kTileSide, kBytesB);
    TESSERA_TILE_MULTIPLY(1, 4, 7);
  }
  if constexpr (two_rows) {
    TESSERA_TILE_LOAD(5, a + kTileSide * kTileSide, kBytesA);
    TESSERA_TILE_MULTIPLY(2, 5, 6);
    if constexpr (two_columns) TESSERA_TILE_MULTIPLY(3, 5, 7);
  }
}

/// sums [32][32] = a b^T over k units.
template <bool two_rows, bool two_columns>
__attribute__((noinline)) void tile_sums(int64_t k, const Pair* a, const Pair* b, float* sums,
                                         const Prefetch& prefetch) {
  constexpr int kColumns = Tile<Pair>::kColumns;
  constexpr int64_t kStride = kColumns * sizeof(float);
  asm volatile("" ::: "memory");  // gcc 12 does not know that the instructions read and write memory
  configure_tiles();
  TESSERA_TILE_ZERO(0);
  if constexpr (two_columns) TESSERA_TILE_ZERO(1);
  if constexpr (two_rows) TESSERA_TILE_ZERO(2);
  if constexpr (two_rows && two_columns) TESSERA_TILE_ZERO(3);
  const char* line = static_cast<const char*>(prefetch.first);
  const char* other = static_cast<const char*>(prefetch.other);
  const char* next = static_cast<const char*>(prefetch.next);
  int64_t i = 0;
  for (int row = 0; i + kTileSide <= k; i += kTileSide) {
    // Two rows of the result a step, and a quarter of the lines of the next panel that this tile is to fetch.
    for (int n = 0; n < 2 && row < Tile<Pair>::kRows && line != nullptr; ++n, ++row, line += prefetch.stride) {
      __builtin_prefetch(line, 1, 3);
      __builtin_prefetch(line + 64, 1, 3);
      if (other != nullptr) {
        __builtin_prefetch(other, 0, 3);
        __builtin_prefetch(other + 64, 0, 3);
        other += prefetch.other_stride;
      }
    }
    if (next != nullptr) {
      for (int n = 0; n < 4; ++n, next += 64) __builtin_prefetch(next, 0, 2);
    }
    multiply_tiles<two_rows, two_columns>(a, b);
    a += Tile<Pair>::kRows * kTileSide;
    b += kColumns * kTileSide;
  }
  if (i < k) {
    // The units of a that are missing are zeros, but not what follows a panel of b.
    alignas(64) Pair rest[kTileSide * kColumns] = {};
    __builtin_memcpy(rest, b, static_cast<size_t>((k - i) * kColumns) * sizeof(Pair));
    asm volatile("" ::: "memory");
    multiply_tiles<two_rows, two_columns>(a, rest);
  }
  TESSERA_TILE_STORE(0, sums, kStride);
  if constexpr (two_columns) TESSERA_TILE_STORE(1, sums + kTileSide, kStride);
  if constexpr (two_rows) TESSERA_TILE_STORE(2, sums + kTileSide * kColumns, kStride);
  if constexpr (two_rows && two_columns) TESSERA_TILE_STORE(3, sums + kTileSide * kColumns + kTileSide, kStride);
  asm volatile("" ::: "memory");
}

inline void micro_tile(int64_t k, const Pair* a, const Pair* b, int rows, int columns, float* c, int64_t stride,
                       bool add, const Prefetch& prefetch) {
  constexpr int kColumns = Tile<Pair>::kColumns;
  using Kernel = void (*)(int64_t, const Pair*, const Pair*, float*, const Prefetch&);
  constexpr Kernel kKernels[] = {tile_sums<false, false>, tile_sums<false, true>, tile_sums<true, false>,
                                 tile_sums<true, true>};
  const Kernel kernel = kKernels[(rows > kTileSide ? 2 : 0) + (columns > kTileSide ? 1 : 0)];
  const int filled = columns > kTileSide ? kColumns : kTileSide;
  if (!add && stride == kColumns && rows == Tile<Pair>::kRows && filled == kColumns) {
    return kernel(k, a, b, c, prefetch);
  }
  alignas(64) float sums[Tile<Pair>::kRows * kColumns];
  kernel(k, a, b, sums, prefetch);
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < filled; j += VecF::kWidth) {
      VecF v = VecF::load(sums + r * kColumns + j);
      float* to = c + r * stride + j;
      if (add) v = VecF::load(to) + v;
      v.store(to);
    }
  }
}

#undef TESSERA_TILE_ZERO
#undef TESSERA_TILE_LOAD
#undef TESSERA_TILE_STORE
#undef TESSERA_TILE_MULTIPLY

}  // namespace tessera::cpu::TESSERA_ISA::gemm
