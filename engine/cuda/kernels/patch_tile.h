#pragma once

// Products of tiles for patch_sentence, with one interface for bf16 (matrix fragments) and f32, f64 (FMA). A block of
// 256 threads owns `kRows` rows and takes tiles of `kColumns` columns one after the other:
//
//   PatchTile<T>::run<…>(factors, place, shared, [&](int first_column, Sums (&sums)[kSums]) { … });
//
// Of each tile a thread holds kRowsEach · kColumnsEach elements: sums[s].at(i, j) is the one in row(i) and column(j).
// 16 threads share a row; owner() numbers them.
#include "engine/cuda/gpu_mma.h"
#include "engine/cuda/row_lanes.h"

namespace tessera::cuda {

inline constexpr int kTileThreads = 256;
inline constexpr int kTileOwners = 16;
/// Blocks on a processor at a time.
template <class T>
inline constexpr int kTileBlocks = sizeof(T) == sizeof(double) ? 1 : 2;
#if defined(__CUDACC__)
inline constexpr bool kEmulated = false;
#else
inline constexpr bool kEmulated = true;  // what lies beyond an edge is skipped, because it costs so much time there
#endif

/// kLefts matrices [left_lines, steps] of one layout and a matrix [right_lines, steps]. A matrix is stored by line,
/// [line][step], or by step, [step][line]. left[i] · rightᵀ is added to sum i % kSums.
template <class T, int kLefts>
struct Factors {
  const T* left[kLefts];
  int64_t left_stride;
  int left_lines;
  const T* right;
  int64_t right_stride;
  int right_lines;
};
/// The first row of a block, its tiles of columns [tile, last_tile) and its steps [step, last_step).
struct TilePlace {
  int row;
  int tile, last_tile;
  int step, last_step;
};

template <class T>
struct PatchTile;

/// Fragments of mma.sync: eight warps hold 32 rows and 32 columns each. Chunks of 64 steps arrive in a ring of stages
/// while the chunk before is multiplied.
template <>
struct PatchTile<bfloat16> {
  using T = bfloat16;
  using Number = float;
  static constexpr int kRows = 64, kColumns = 128, kSteps = 64, kPad = 8;
  static constexpr int kRowsEach = 4, kColumnsEach = 8, kAdjacent = 2;
  static constexpr int kRightElements = kColumns * (kSteps + kPad);
  static constexpr int kLeftElements = kRows * (kSteps + kPad);
  /// Stages of the ring: as many as leave room for two blocks on a processor.
  template <int kLefts>
  static constexpr int kStages = kLefts > 2 ? 2 : 3;
  template <int kLefts>
  static constexpr size_t shared_bytes() {
    return sizeof(T) * kStages<kLefts> * (kLefts * kLeftElements + kRightElements);
  }

  struct Sums {
    float v[2][4][4];
    __device__ float& at(int i, int j) { return v[i / 2][j / 2][i % 2 * 2 + j % 2]; }
  };

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ static int warp_row() { return static_cast<int>(threadIdx.x) / kWarp / 4 * 32; }
  __device__ static int warp_column() { return static_cast<int>(threadIdx.x) / kWarp % 4 * 32; }
  __device__ static int row(int i) { return warp_row() + i / 2 * 16 + i % 2 * 8 + lane() / 4; }
  __device__ static int column(int j) { return warp_column() + j / 2 * 8 + j % 2 + lane() % 4 * 2; }
  __device__ static int owner() { return warp_column() / 32 * 4 + lane() % 4; }

  /// kLines lines and kSteps steps, zeros beyond the edges: [line][step], or [step][line].
  template <int kLines, bool kByStep, bool kAligned>
  __device__ static void load(T* to, const T* from, int64_t stride, int line, int lines, int step, int steps) {
    constexpr int kHeight = kByStep ? kSteps : kLines;
    constexpr int kWidth = kByStep ? kLines : kSteps;
    const int row = kByStep ? step : line;
    const int rows = kByStep ? steps : lines;
    const int column = kByStep ? line : step;
    const int columns = kByStep ? lines : steps;
    if constexpr (kAligned) {
      constexpr int kPieces = kWidth / 8;
      for (int p = static_cast<int>(threadIdx.x); p < kHeight * kPieces; p += kTileThreads) {
        const int r = p / kPieces;
        const int c = p % kPieces * 8;
        const bool real = row + r < rows && column + c < columns;
        cp_async16_or_zero(to + r * (kWidth + kPad) + c, from + (real ? (row + r) * stride + column + c : 0), real);
      }
    } else {
      for (int p = static_cast<int>(threadIdx.x); p < kHeight * kWidth; p += kTileThreads) {
        const int r = p / kWidth;
        const int c = p % kWidth;
        const bool real = row + r < rows && column + c < columns;
        to[r * (kWidth + kPad) + c] = real ? from[(row + r) * stride + column + c] : T();
      }
    }
  }

  template <bool kByStep>
  __device__ static void left_fragment(uint32_t (&a)[4], const T* tile, int line, int step) {
    if constexpr (kByStep) {
      uint32_t t[4];
      ldmatrix_x4_trans(t, tile + (step + (lane() & 15)) * (kRows + kPad) + line + (lane() >> 4) * 8);
      a[0] = t[0];
      a[1] = t[2];
      a[2] = t[1];
      a[3] = t[3];
    } else {
      ldmatrix_x4(a, tile + (line + (lane() & 15)) * (kSteps + kPad) + step + (lane() >> 4) * 8);
    }
  }
  /// Two fragments of 8 lines.
  template <bool kByStep>
  __device__ static void right_fragments(uint32_t (&b)[4], const T* tile, int line, int step) {
    if constexpr (kByStep) {
      ldmatrix_x4_trans(b, tile + (step + (lane() & 15)) * (kColumns + kPad) + line + (lane() >> 4) * 8);
    } else {
      const int r = line + (lane() & 7) + (lane() >> 4) * 8;
      ldmatrix_x4(b, tile + r * (kSteps + kPad) + step + (lane() >> 3 & 1) * 8);
    }
  }

  /// One chunk. `rows`, `columns` and `steps` remain from here to the edges.
  template <int kLefts, int kSums, bool kLeftByStep, bool kRightByStep>
  __device__ static void multiply(Sums (&sums)[kSums], const T* stage, int rows, int columns, int steps) {
    const T* const right = stage + kLefts * kLeftElements;
#pragma unroll
    for (int s = 0; s < kSteps; s += 16) {
      if (kEmulated && s >= steps) break;
      uint32_t b[2][4];
#pragma unroll
      for (int j = 0; j < 2; ++j) right_fragments<kRightByStep>(b[j], right, warp_column() + j * 16, s);
#pragma unroll
      for (int l = 0; l < kLefts; ++l) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          if (kEmulated && warp_row() + i * 16 >= rows) continue;
          uint32_t a[4];
          left_fragment<kLeftByStep>(a, stage + l * kLeftElements, warp_row() + i * 16, s);
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            if (kEmulated && warp_column() + j * 8 >= columns) continue;
            const uint32_t pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
            mma_16816(sums[l % kSums].v[i][j], a, pair);
          }
        }
      }
    }
  }

  template <int kSums, bool kLeftByStep, bool kRightByStep, bool kAligned, int kLefts, class Finish>
  __device__ static void run(const Factors<T, kLefts>& f, const TilePlace& at, void* shared, const Finish& finish) {
    constexpr int kStage = kLefts * kLeftElements + kRightElements;
    constexpr int kRing = kStages<kLefts>;
    T* const ring = static_cast<T*>(shared);
    const int steps = at.last_step - at.step;
    const int chunks = steps > kSteps ? (steps + kSteps - 1) / kSteps : 1;
    const int total = (at.last_tile - at.tile) * chunks;
    const auto fetch = [&](int t) {
      if (t < total) {
        T* const stage = ring + t % kRing * kStage;
        const int step = at.step + t % chunks * kSteps;
#pragma unroll
        for (int l = 0; l < kLefts; ++l) {
          load<kRows, kLeftByStep, kAligned>(stage + l * kLeftElements, f.left[l], f.left_stride, at.row, f.left_lines,
                                             step, at.last_step);
        }
        load<kColumns, kRightByStep, kAligned>(stage + kLefts * kLeftElements, f.right, f.right_stride,
                                               (at.tile + t / chunks) * kColumns, f.right_lines, step, at.last_step);
      }
      cp_async_commit();
    };
    for (int t = 0; t < kRing - 1; ++t) fetch(t);
    Sums sums[kSums] = {};
    int chunk = 0;
    int first = at.tile * kColumns;
    for (int t = 0; t < total; ++t) {
      cp_async_wait<kRing - 2>();
      __syncthreads();
      fetch(t + kRing - 1);
      multiply<kLefts, kSums, kLeftByStep, kRightByStep>(sums, ring + t % kRing * kStage, f.left_lines - at.row,
                                                         f.right_lines - first, steps - chunk * kSteps);
      if (++chunk < chunks) continue;
      finish(first, sums);
#pragma unroll
      for (int s = 0; s < kSums; ++s) sums[s] = {};
      chunk = 0;
      first += kColumns;
    }
    cp_async_wait<0>();
    __syncthreads();
  }
};

/// FMA in the element's own type: a thread holds 4 rows and 8 columns (f64: 4). A chunk of 16 steps lies in shared
/// memory by step.
template <class E>
struct FmaTile {
  using Number = E;
  static constexpr int kRowsEach = 4, kColumnsEach = sizeof(E) == 4 ? 8 : 4, kAdjacent = kPackOf<E>;
  static constexpr int kRows = 64, kColumns = 16 * kColumnsEach, kSteps = 16, kPad = 4;
  static constexpr int kLeftElements = kSteps * (kRows + kPad);
  static constexpr int kRightElements = kSteps * (kColumns + kPad);
  template <int kLefts>
  static constexpr size_t shared_bytes() {
    return sizeof(E) * (kLefts * kLeftElements + kRightElements);
  }

  struct Sums {
    E v[kRowsEach][kColumnsEach];
    __device__ E& at(int i, int j) { return v[i][j]; }
  };

  __device__ static int row(int i) { return static_cast<int>(threadIdx.x) / 16 * kRowsEach + i; }
  __device__ static int column(int j) { return (j / kAdjacent * 16 + owner()) * kAdjacent + j % kAdjacent; }
  __device__ static int owner() { return static_cast<int>(threadIdx.x) % 16; }

  /// kLines lines and kSteps steps as [step][line], zeros beyond the edges.
  template <int kLines, bool kByStep>
  __device__ static void load(E* to, const E* from, int64_t stride, int line, int lines, int step, int steps) {
#pragma unroll 4
    for (int p = static_cast<int>(threadIdx.x); p < kLines * kSteps; p += kTileThreads) {
      const int l = kByStep ? p % kLines : p / kSteps;
      const int s = kByStep ? p / kLines : p % kSteps;
      const bool real = line + l < lines && step + s < steps;
      const int64_t from_line = line + l;
      const int64_t from_step = step + s;
      const int64_t at = kByStep ? from_step * stride + from_line : from_line * stride + from_step;
      to[s * (kLines + kPad) + l] = real ? from[at] : E(0);
    }
  }

  template <int kSums, bool kLeftByStep, bool kRightByStep, bool, int kLefts, class Finish>
  __device__ static void run(const Factors<E, kLefts>& f, const TilePlace& at, void* shared, const Finish& finish) {
    E* const lefts = static_cast<E*>(shared);
    E* const right = lefts + kLefts * kLeftElements;
    for (int tile = at.tile; tile < at.last_tile; ++tile) {
      Sums sums[kSums] = {};
      const bool live = at.row + row(0) < f.left_lines && tile * kColumns + column(0) < f.right_lines;
      for (int step = at.step; step < at.last_step; step += kSteps) {
#pragma unroll
        for (int l = 0; l < kLefts; ++l) {
          load<kRows, kLeftByStep>(lefts + l * kLeftElements, f.left[l], f.left_stride, at.row, f.left_lines, step,
                                   at.last_step);
        }
        load<kColumns, kRightByStep>(right, f.right, f.right_stride, tile * kColumns, f.right_lines, step,
                                     at.last_step);
        __syncthreads();
#pragma unroll 4
        for (int s = 0; s < kSteps; ++s) {
          if (kEmulated && !live) break;
          E b[kColumnsEach];
#pragma unroll
          for (int j = 0; j < kColumnsEach; j += kAdjacent) {
            E part[kAdjacent];
            load_pack<kAdjacent>(right + s * (kColumns + kPad) + column(j), part);
#pragma unroll
            for (int e = 0; e < kAdjacent; ++e) b[j + e] = part[e];
          }
#pragma unroll
          for (int l = 0; l < kLefts; ++l) {
            E a[kRowsEach];
            load_pack<kRowsEach>(lefts + l * kLeftElements + s * (kRows + kPad) + row(0), a);
#pragma unroll
            for (int i = 0; i < kRowsEach; ++i) {
#pragma unroll
              for (int j = 0; j < kColumnsEach; ++j) {
                sums[l % kSums].v[i][j] = multiply_add(a[i], b[j], sums[l % kSums].v[i][j]);
              }
            }
          }
        }
        __syncthreads();
      }
      finish(tile * kColumns, sums);
    }
  }
};
template <>
struct PatchTile<float> : FmaTile<float> {};
template <>
struct PatchTile<double> : FmaTile<double> {};

}  // namespace tessera::cuda
