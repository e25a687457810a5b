#pragma once

// What the kernels of products share: which tile a thread block computes, and what happens to a finished tile.
#include "engine/cuda/gpu_math.h"
#include "engine/cuda/gpu_vector.h"
#include "engine/cuda/product.h"

namespace tessera::cuda {

/// The emulator does not compute what lies outside the result.
#if defined(__CUDACC__)
inline constexpr bool kEmulated = false;
#else
inline constexpr bool kEmulated = true;
#endif

inline constexpr int kLargeTile = 128;
inline constexpr int kSmallTile = 64;
/// Large tiles that an H100 computes at once: two on each of its processors. On the emulator few, so that small
/// problems are cut as large ones are.
inline constexpr int64_t kConcurrentTiles = kEmulated ? 8 : int64_t{2} * 132;
/// A finished tile lies in shared memory with this much room between its rows, so that fragments meet no bank twice.
inline constexpr int kTilePad = 8;

template <class T>
struct DeviceOperand {
  const T* data;
  int64_t line_stride, step_stride, batch_stride;
};
template <class T>
DeviceOperand<T> device_operand(const ProductOperand& x) {
  return {static_cast<const T*>(x.data), x.line_stride, x.step_stride, x.batch_stride};
}

/// The extents of a launch. Block (x, y) computes tile x of batch y, or of part y of the sum over k: part y covers
/// `part` steps from y · part_stride on, so part_stride is 0 where k is whole.
struct DeviceExtents {
  int m, n;
  int64_t k, part, part_stride;
  int row_tiles, column_tiles;
};

/// The epilogue of a product (see Product) on the device. E is the wide type.
template <class E>
struct DeviceEpilogue {
  E alpha;
  const E* bias;
  const E* row_scale;
  Act act;
  bool slope, residual_bf16, y_bf16;
  bool vectors;  // four adjacent elements of every matrix move in one access
  void* pre;
  const void* residual;
  void* y;
  int64_t pre_stride, residual_stride, y_stride, y_column_stride, y_batch_stride;
  E* sums;  // partial sums of columns [row tile][n]
};

/// The first row and column of a block's tile. Tiles go in bands of eight rows of tiles, column by column, so that
/// blocks which run together share what they read.
struct TileOrigin {
  int row_tile, row, column;
};
__device__ inline TileOrigin tile_origin(const DeviceExtents& e, int tile) {
  constexpr int kBand = 8;
  const int block = static_cast<int>(blockIdx.x);
  const int band = block / (kBand * e.column_tiles);
  const int rest = block % (kBand * e.column_tiles);
  const int rows = e.row_tiles - band * kBand < kBand ? e.row_tiles - band * kBand : kBand;
  const int row_tile = band * kBand + rest % rows;
  return {row_tile, row_tile * tile, rest / rows * tile};
}

/// Four adjacent elements; a function that is called rather than repeated keeps the kernels small.
template <class E>
struct Four {
  E v[4];
};
template <class F, class E>
__device__ __attribute__((noinline)) E value_of(E x) {
  return F::value(Scalar<E>(x)).v;
}
template <class F, class E>
__device__ __attribute__((noinline)) E slope_of(E x) {
  return F::slope(Scalar<E>(x)).v;
}
template <class E>
__device__ inline void activate(Act act, E (&x)[4]) {
  if (act == Act::none) return;
#pragma unroll
  for (E& v : x) v = act == Act::gelu_erf ? value_of<functors::GeluErf>(v) : value_of<functors::QuickGelu>(v);
}
template <class E>
__device__ inline void multiply_by_slope(Act act, const E (&pre)[4], E (&x)[4]) {
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    x[c] *= act == Act::gelu_erf ? slope_of<functors::GeluErf>(pre[c]) : slope_of<functors::QuickGelu>(pre[c]);
  }
}

/// Up to four elements of a row from `p` on, `stride` apart.
template <class T, class E>
__device__ inline void read_four(const void* matrix, int64_t at, int64_t stride, int count, bool vectors, E (&x)[4]) {
  const T* const p = static_cast<const T*>(matrix) + at;
  if (vectors) return load_pack<4>(p, x);
#pragma unroll
  for (int c = 0; c < 4; ++c) x[c] = c < count ? widen(p[c * stride]) : E(0);
}
template <class T, class E>
__device__ inline void write_four(void* matrix, int64_t at, int64_t stride, int count, bool vectors, const E (&x)[4]) {
  T* const p = static_cast<T*>(matrix) + at;
  if (vectors) return store_pack<4>(p, x);
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    if (c < count) p[c * stride] = narrow<T>(x[c]);
  }
}

/// Shared memory of finish_tile: the tile, and the sums of each thread's four columns.
template <int kTile, int kThreads>
inline constexpr size_t finished_elements = size_t{kTile} * (kTile + kTilePad) + size_t{kThreads} * 4;

/// Finishes a tile that lies in shared memory, `tile` with rows of kTile + kTilePad elements: a thread owns four
/// adjacent columns and every so many rows, and reads the matrices of several rows before it computes. Behind the
/// tile the sums of rows meet in ascending order. T is the type of pre.
template <class T, int kTile, int kThreads, class E>
__device__ inline void finish_tile(const DeviceExtents& extents, const DeviceEpilogue<E>& e, const TileOrigin& origin,
                                   E* tile) {
  constexpr int kPitch = kTile + kTilePad;
  constexpr int kLanes = kTile / 4;  // threads of a row
  constexpr int kLines = kThreads / kLanes;
  constexpr int kAhead = sizeof(E) == sizeof(float) ? 4 : 1;
  static_assert(kTile % (kLines * kAhead) == 0);
  const int thread = static_cast<int>(threadIdx.x);
  const int line = thread / kLanes;
  const int lane = thread % kLanes * 4;
  const int column = origin.column + lane;
  const int count = extents.n - column < 4 ? extents.n - column : 4;
  const int rows = extents.m - origin.row < kTile ? extents.m - origin.row : kTile;
  E bias[4] = {};
  E total[4] = {};
  if (e.bias != nullptr && count > 0) read_four<E>(e.bias, column, 1, count, e.vectors, bias);
  const bool has_residual = e.residual != nullptr;
  const int64_t y_column = static_cast<int64_t>(blockIdx.y) * e.y_batch_stride + column * e.y_column_stride;
  for (int first = line; first < rows && count > 0; first += kLines * kAhead) {
    E residual[kAhead][4] = {};
    E pre[kAhead][4] = {};
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int r = first + i * kLines;
      const int64_t row = origin.row + r;
      if (r >= rows) continue;
      if (has_residual) {
        const bool same = e.residual == e.y;
        const int64_t at = row * e.residual_stride + (same ? y_column : column);
        const int64_t stride = same ? e.y_column_stride : 1;
        if (e.residual_bf16) {
          if constexpr (sizeof(E) == sizeof(float)) {
            read_four<bfloat16>(e.residual, at, stride, count, e.vectors, residual[i]);
          }
        } else {
          read_four<E>(e.residual, at, stride, count, e.vectors, residual[i]);
        }
      }
      if (e.slope) read_four<T>(e.pre, row * e.pre_stride + column, 1, count, e.vectors, pre[i]);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int r = first + i * kLines;
      const int64_t row = origin.row + r;
      if (r >= rows) continue;
      E x[4];
      load_pack<4>(tile + r * kPitch + lane, x);
#pragma unroll
      for (int c = 0; c < 4; ++c) x[c] = x[c] * e.alpha + bias[c];
      if (e.slope) {
        multiply_by_slope(e.act, pre[i], x);
      } else {
        if (e.pre != nullptr) write_four<T>(e.pre, row * e.pre_stride + column, 1, count, e.vectors, x);
        activate(e.act, x);
      }
      const E scale = e.row_scale != nullptr ? e.row_scale[row] : E(1);
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        x[c] *= scale;
        total[c] += x[c];
        x[c] += residual[i][c];
      }
      const int64_t at = row * e.y_stride + y_column;
      if (e.y_bf16) {
        if constexpr (sizeof(E) == sizeof(float)) {
          write_four<bfloat16>(e.y, at, e.y_column_stride, count, e.vectors, x);
        }
      } else {
        write_four<E>(e.y, at, e.y_column_stride, count, e.vectors, x);
      }
    }
  }
  if (e.sums == nullptr) return;
  E* const sums = tile + kTile * kPitch;
#pragma unroll
  for (int c = 0; c < 4; ++c) sums[line * kTile + lane + c] = total[c];
  __syncthreads();
  if (thread < kTile && origin.column + thread < extents.n) {
    E sum = sums[thread];
    for (int l = 1; l < kLines; ++l) sum += sums[l * kTile + thread];
    e.sums[static_cast<int64_t>(origin.row_tile) * extents.n + origin.column + thread] = sum;
  }
}

// --- on the host -----------------------------------------------------------------------------------------------------

/// How a product is cut into blocks. Depends on its extents alone.
struct ProductPlan {
  int tile;
  int64_t row_tiles, column_tiles;
  int64_t parts;  // of the sum over k
  int64_t part;   // steps of a part, a multiple of the kernel's block of k

  [[nodiscard]] int64_t tiles() const { return row_tiles * column_tiles; }
};
/// A launch of a kernel over the tiles of a plan: what it is told beside the operands.
template <class E>
struct ProductLaunch {
  ProductPlan plan;
  DeviceEpilogue<E> epilogue;
  int64_t first_batch, batches;

  [[nodiscard]] dim3 grid() const { return {extent(plan.tiles()), extent(plan.parts > 1 ? plan.parts : batches)}; }
  [[nodiscard]] DeviceExtents extents(const Product& p) const {
    return {static_cast<int>(p.m),
            static_cast<int>(p.n),
            p.k,
            plan.parts > 1 ? plan.part : p.k,
            plan.parts > 1 ? plan.part : 0,
            static_cast<int>(plan.row_tiles),
            static_cast<int>(plan.column_tiles)};
  }
};

/// The largest tile that the kernels have for a product's operands.
[[nodiscard]] int largest_tile_bf16(const Product& p);
[[nodiscard]] int largest_tile_fma(const Product& p);
/// Launches the kernel for bf16 operands, and the one for f32 or f64 operands.
void launch_bf16(Context& context, const Product& p, const ProductLaunch<float>& launch);
void launch_fma(Context& context, const Product& p, const ProductLaunch<float>& launch);
void launch_fma(Context& context, const Product& p, const ProductLaunch<double>& launch);

}  // namespace tessera::cuda
