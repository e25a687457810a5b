// Products of bf16 operands with f32 sums, on the matrix units.
#include "engine/cuda/gpu_mma.h"
#include "engine/cuda/gpu_product.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kSteps = 32;  // of k in a stage
constexpr int kStages = 4;  // of copies under way
constexpr int kPad = 8;     // elements between the rows of a stage, so that ldmatrix meets no bank twice
constexpr int kVector = 8;  // elements of a copy

/// How an operand lies in memory: steps of a line adjacent, lines of a step adjacent, or any other way.
enum class Order : uint8_t { lines, steps, any };

/// A stage of one operand: [line][step], or [step][line] where lines are adjacent in memory.
template <int kTile, Order kOrder>
struct Stage {
  static constexpr bool kByStep = kOrder == Order::steps;
  static constexpr int kColumns = kByStep ? kTile : kSteps;
  static constexpr int kPitch = kColumns + kPad;
  static constexpr int kElements = (kByStep ? kSteps : kTile) * kPitch;
};

/// Copies `kTile` lines from `first` on and kSteps steps from `step` on. Lines outside the matrix repeat its last ones,
/// because their results are dropped; steps from `end` on are zeros.
template <int kTile, Order kOrder>
__device__ inline void fetch_stage(bfloat16* to, const DeviceOperand<bfloat16>& x, const bfloat16* data, int first,
                                   int lines, int64_t step, int64_t end) {
  using S = Stage<kTile, kOrder>;
  const int thread = static_cast<int>(threadIdx.x);
  const int steps = end - step < kSteps ? static_cast<int>(end - step) : kSteps;
  if constexpr (kOrder == Order::any) {
    const bool along_lines = x.line_stride == 1;
#pragma unroll 4
    for (int i = thread; i < kTile * kSteps; i += kThreads) {
      const int line = along_lines ? i % kTile : i / kSteps;
      const int s = along_lines ? i / kTile : i % kSteps;
      bfloat16 value;
      if (first + line < lines && s < steps) value = data[(first + line) * x.line_stride + (step + s) * x.step_stride];
      to[line * S::kPitch + s] = value;
    }
  } else {
    constexpr int kPerRow = S::kColumns / kVector;
    const bfloat16* const corner =
        kOrder == Order::steps ? data + step * x.step_stride : data + first * x.line_stride + step;
    const auto stride = static_cast<int>(kOrder == Order::steps ? x.step_stride : x.line_stride);
#pragma unroll
    for (int i = 0; i < kTile * kSteps / kVector / kThreads; ++i) {
      const int row = thread / kPerRow + i * (kThreads / kPerRow);
      const int column = thread % kPerRow * kVector;
      const bfloat16* from;
      bool valid;
      if constexpr (kOrder == Order::steps) {
        valid = row < steps;
        from = corner + (valid ? row : 0) * stride + min(first + column, lines - kVector);
      } else {
        valid = column < steps;
        from = corner + min(row, lines - 1 - first) * stride + (valid ? column : 0);
      }
      cp_async16_or_zero(to + row * S::kPitch + column, from, valid);
    }
  }
}

/// Fragments of 16 lines and 16 steps of a stage, from `line` and `step` on, as mma.sync takes them from the left.
template <int kTile, Order kOrder>
__device__ inline void load_left(uint32_t (&a)[4], const bfloat16* stage, int line, int step, int lane) {
  constexpr int kPitch = Stage<kTile, kOrder>::kPitch;
  if constexpr (kOrder != Order::steps) {
    ldmatrix_x4(a, stage + (line + (lane & 15)) * kPitch + step + (lane >> 4) * 8);
  } else {
    ldmatrix_x4_trans(a, stage + (step + (lane & 7) + (lane >> 4) * 8) * kPitch + line + (lane >> 3 & 1) * 8);
  }
}
/// The same for the right: b[0] and b[1] for the first 8 lines, b[2] and b[3] for the others.
template <int kTile, Order kOrder>
__device__ inline void load_right(uint32_t (&b)[4], const bfloat16* stage, int line, int step, int lane) {
  constexpr int kPitch = Stage<kTile, kOrder>::kPitch;
  if constexpr (kOrder != Order::steps) {
    ldmatrix_x4(b, stage + (line + (lane & 7) + (lane >> 4) * 8) * kPitch + step + (lane >> 3 & 1) * 8);
  } else {
    ldmatrix_x4_trans(b, stage + (step + (lane & 15)) * kPitch + line + (lane >> 4) * 8);
  }
}

template <int kTile, Order kLeft, Order kRight>
constexpr size_t shared_bytes() {
  constexpr size_t kCopies =
      kStages * (Stage<kTile, kLeft>::kElements + Stage<kTile, kRight>::kElements) * sizeof(bfloat16);
  constexpr size_t kFinished = finished_elements<kTile, kThreads> * sizeof(float);
  return kCopies > kFinished ? kCopies : kFinished;
}

/// One tile kTile × kTile of the result per block, a quarter per warp. Copies of three stages run beside the arithmetic
/// of one. Per stage and block: 2 · kTile · kSteps elements from memory and twice that from shared memory.
template <int kTile, Order kLeft, Order kRight>
__global__ void __launch_bounds__(kThreads, 2)
    product_kernel(DeviceOperand<bfloat16> left, DeviceOperand<bfloat16> right, DeviceExtents extents,
                   DeviceEpilogue<float> epilogue) {
  GPU_DYNAMIC_SHARED(bfloat16, shared);
  constexpr int kLeftStage = Stage<kTile, kLeft>::kElements;
  constexpr int kRightStage = Stage<kTile, kRight>::kElements;
  constexpr int kWarpTile = kTile / 2;
  constexpr int kRows = kWarpTile / 16;
  constexpr int kColumns = kWarpTile / 8;
  bfloat16* const lefts = shared;
  bfloat16* const rights = shared + kStages * kLeftStage;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_row = warp / 2 * kWarpTile;
  const int warp_column = warp % 2 * kWarpTile;
  const TileOrigin origin = tile_origin(extents, kTile);
  const bfloat16* const left_data = left.data + static_cast<int64_t>(blockIdx.y) * left.batch_stride;
  const bfloat16* const right_data = right.data + static_cast<int64_t>(blockIdx.y) * right.batch_stride;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * extents.part_stride;
  const int64_t end = begin + extents.part < extents.k ? begin + extents.part : extents.k;
  const auto stages = static_cast<int>((end - begin + kSteps - 1) / kSteps);
  const auto fetch = [&](int stage) {
    if (stage < stages) {
      const int64_t step = begin + static_cast<int64_t>(stage) * kSteps;
      fetch_stage<kTile, kLeft>(lefts + stage % kStages * kLeftStage, left, left_data, origin.row, extents.m, step,
                                end);
      fetch_stage<kTile, kRight>(rights + stage % kStages * kRightStage, right, right_data, origin.column, extents.n,
                                 step, end);
    }
    cp_async_commit();
  };
  const auto outside = [&](int i, int j) {
    return kEmulated &&
           (origin.row + warp_row + i * 16 >= extents.m || origin.column + warp_column + j * 8 >= extents.n);
  };

  float sum[kRows][kColumns][4] = {};
  for (int stage = 0; stage < kStages - 1; ++stage) fetch(stage);
  for (int stage = 0; stage < stages; ++stage) {
    cp_async_wait<kStages - 2>();
    __syncthreads();
    fetch(stage + kStages - 1);
    const bfloat16* const l = lefts + stage % kStages * kLeftStage;
    const bfloat16* const r = rights + stage % kStages * kRightStage;
#pragma unroll
    for (int step = 0; step < kSteps; step += 16) {
      if (kEmulated && begin + stage * kSteps + step >= end) break;
      uint32_t a[kRows][4];
      uint32_t b[kColumns / 2][4];
#pragma unroll
      for (int i = 0; i < kRows; ++i) load_left<kTile, kLeft>(a[i], l, warp_row + i * 16, step, lane);
#pragma unroll
      for (int j = 0; j < kColumns / 2; ++j) load_right<kTile, kRight>(b[j], r, warp_column + j * 16, step, lane);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          if (!outside(i, j)) mma_16816(sum[i][j], a[i], {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]});
        }
      }
    }
  }

  // Through shared memory whole rows are read and written in order, and the epilogue stands once.
  constexpr int kPitch = kTile + kTilePad;
  float* const tile = reinterpret_cast<float*>(shared);
  cp_async_wait<0>();
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = warp_row + i * 16 + lane / 4 + h * 8;
        const int column = warp_column + j * 8 + lane % 4 * 2;
        store_pack<2>(tile + row * kPitch + column, {sum[i][j][2 * h], sum[i][j][2 * h + 1]});
      }
    }
  }
  __syncthreads();
  finish_tile<bfloat16, kTile, kThreads>(extents, epilogue, origin, tile);
}

template <int kTile, Order kLeft, Order kRight>
void launch_as(Context& context, const Product& p, const ProductLaunch<float>& launch) {
  DeviceOperand<bfloat16> left = device_operand<bfloat16>(p.left);
  DeviceOperand<bfloat16> right = device_operand<bfloat16>(p.right);
  left.data += launch.first_batch * left.batch_stride;
  right.data += launch.first_batch * right.batch_stride;
  GPU_LAUNCH((product_kernel<kTile, kLeft, kRight>), launch.grid(), dim3(kThreads),
             shared_bytes<kTile, kLeft, kRight>(), stream_of(context), left, right, launch.extents(p), launch.epilogue);
}

/// Vectors need aligned rows of whole vectors, with offsets inside a tile that fit in 32 bits.
Order order_of(const ProductOperand& x, int64_t lines, int64_t k, int64_t batches) {
  constexpr int64_t kLongest = int64_t{1} << 23;
  const bool aligned =
      reinterpret_cast<uintptr_t>(x.data) % kAccessBytes == 0 && (batches == 1 || x.batch_stride % kVector == 0);
  const auto rows_of_vectors = [&](int64_t stride, int64_t extent) {
    return aligned && stride % kVector == 0 && stride < kLongest && extent % kVector == 0;
  };
  if (x.step_stride == 1 && rows_of_vectors(x.line_stride, k)) return Order::lines;
  if (x.line_stride == 1 && rows_of_vectors(x.step_stride, lines)) return Order::steps;
  return Order::any;
}

struct Orders {
  Order left, right;
};
/// Pairs that have kernels of their own: x Wᵀ, dy W, and dyᵀ x; all others are read element by element.
Orders orders_of(const Product& p) {
  const Orders o{order_of(p.left, p.m, p.k, p.batches), order_of(p.right, p.n, p.k, p.batches)};
  const bool own = o.left != Order::any && o.right != Order::any && (o.left == Order::lines || o.right == Order::steps);
  return own ? o : Orders{Order::any, Order::any};
}

template <Order kLeft, Order kRight>
void launch_tile(Context& context, const Product& p, const ProductLaunch<float>& launch) {
  launch.plan.tile == kLargeTile ? launch_as<kLargeTile, kLeft, kRight>(context, p, launch)
                                 : launch_as<kSmallTile, kLeft, kRight>(context, p, launch);
}

}  // namespace

int largest_tile_bf16(const Product& p) { return orders_of(p).left == Order::any ? kSmallTile : kLargeTile; }

void launch_bf16(Context& context, const Product& p, const ProductLaunch<float>& launch) {
  const Orders o = orders_of(p);
  if (o.left == Order::any) return launch_as<kSmallTile, Order::any, Order::any>(context, p, launch);
  if (o.right == Order::lines) return launch_tile<Order::lines, Order::lines>(context, p, launch);
  if (o.left == Order::lines) return launch_tile<Order::lines, Order::steps>(context, p, launch);
  launch_tile<Order::steps, Order::steps>(context, p, launch);
}

}  // namespace tessera::cuda
