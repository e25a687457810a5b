// Products of f32 and of f64 operands by multiply-adds: f32 never loses digits to a narrower matrix unit.
#include "engine/cuda/gpu_product.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSteps = 16;  // of k in a stage
constexpr int kSide = 16;   // threads along either side of a tile

/// An operand and the way in which a block reads it: groups of four elements along the lines or along the steps,
/// whichever are adjacent, in one access where memory allows it.
template <class T>
struct GroupedOperand {
  DeviceOperand<T> at;
  bool along_lines, vectors;
};

/// Where a stage [step][line] keeps an element. Lines change places within groups of 32 so that threads which write one
/// line each meet no bank twice; groups of four stay together.
template <int kTile>
__device__ inline int place(int step, int line) {
  return step * kTile + (line ^ (step / 4 % 4 * 8));
}

/// A thread's share of a stage, on its way from memory to shared memory.
template <class T, int kTile>
struct Share {
  static constexpr int kGroups = kTile * kSteps / 4 / kThreads;
  T v[kGroups][4];

  /// The first line and step of group i.
  __device__ static void origin(bool along_lines, int i, int& line, int& step) {
    const int group = static_cast<int>(threadIdx.x) + i * kThreads;
    line = along_lines ? group % (kTile / 4) * 4 : group / (kSteps / 4);
    step = along_lines ? group / (kTile / 4) : group % (kSteps / 4) * 4;
  }
  /// Lines outside the matrix and steps from `end` on are zeros.
  __device__ void read(const GroupedOperand<T>& x, const T* data, int first, int lines, int64_t first_step,
                       int64_t end) {
    const int64_t stride = x.along_lines ? x.at.line_stride : x.at.step_stride;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      int line;
      int step;
      origin(x.along_lines, i, line, step);
      const int64_t lines_left = lines - first - line;
      const int64_t steps_left = end - first_step - step;
      const int64_t along = x.along_lines ? lines_left : steps_left;
      const int64_t across = x.along_lines ? steps_left : lines_left;
      const T* const p = data + (first + line) * x.at.line_stride + (first_step + step) * x.at.step_stride;
      if (x.vectors && across > 0 && along >= 4) {
        load_pack<4>(p, v[i]);
      } else {
#pragma unroll
        for (int c = 0; c < 4; ++c) v[i][c] = across > 0 && c < along ? p[c * stride] : T(0);
      }
    }
  }
  __device__ void write(bool along_lines, T* stage) const {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      int line;
      int step;
      origin(along_lines, i, line, step);
      if (along_lines) {
        store_pack<4>(stage + place<kTile>(step, line), v[i]);
      } else {
#pragma unroll
        for (int c = 0; c < 4; ++c) stage[place<kTile>(step + c, line)] = v[i][c];
      }
    }
  }
};

template <class T, int kTile>
constexpr size_t shared_bytes() {
  constexpr size_t kCopies = size_t{4} * kTile * kSteps;
  constexpr size_t kFinished = size_t{kTile} * (kTile + kTilePad);
  return (kCopies > kFinished ? kCopies : kFinished) * sizeof(T);
}

/// One tile kTile × kTile of the result per block; a thread owns groups of 4 × 4 elements, 64 apart. The next stage is
/// read into registers while one is computed. Sums run over k in ascending order.
template <class T, int kTile>
__global__ void __launch_bounds__(kThreads, sizeof(T) == sizeof(float) ? 2 : 1)
    product_kernel(GroupedOperand<T> left, GroupedOperand<T> right, DeviceExtents extents, DeviceEpilogue<T> epilogue) {
  GPU_DYNAMIC_SHARED(T, shared);
  GPU_SHARED(T, sums, [kThreads * 4]);
  constexpr int kOwn = kTile / kSide;
  constexpr int kGroups = kOwn / 4;
  constexpr int kStage = kTile * kSteps;
  T* const lefts = shared;
  T* const rights = shared + 2 * kStage;
  const int row = static_cast<int>(threadIdx.x) / kSide * 4;
  const int column = static_cast<int>(threadIdx.x) % kSide * 4;
  const TileOrigin origin = tile_origin(extents, kTile);
  const T* const left_data = left.at.data + static_cast<int64_t>(blockIdx.y) * left.at.batch_stride;
  const T* const right_data = right.at.data + static_cast<int64_t>(blockIdx.y) * right.at.batch_stride;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * extents.part_stride;
  const int64_t end = begin + extents.part < extents.k ? begin + extents.part : extents.k;

  T sum[kOwn][kOwn] = {};
  Share<T, kTile> next_left;
  Share<T, kTile> next_right;
  next_left.read(left, left_data, origin.row, extents.m, begin, end);
  next_right.read(right, right_data, origin.column, extents.n, begin, end);
  int stage = 0;
  for (int64_t first = begin; first < end; first += kSteps, stage ^= 1) {
    T* const l = lefts + stage * kStage;
    T* const r = rights + stage * kStage;
    next_left.write(left.along_lines, l);
    next_right.write(right.along_lines, r);
    __syncthreads();
    if (first + kSteps < end) {
      next_left.read(left, left_data, origin.row, extents.m, first + kSteps, end);
      next_right.read(right, right_data, origin.column, extents.n, first + kSteps, end);
    }
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      if (kEmulated && first + step >= end) break;
      T a[kGroups][4];
      T b[kGroups][4];
#pragma unroll
      for (int g = 0; g < kGroups; ++g) {
        load_pack<4>(l + place<kTile>(step, row + g * 64), a[g]);
        load_pack<4>(r + place<kTile>(step, column + g * 64), b[g]);
      }
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
#pragma unroll
        for (int j = 0; j < kOwn; ++j) sum[i][j] += a[i / 4][i % 4] * b[j / 4][j % 4];
      }
    }
  }

  constexpr int kPitch = kTile + kTilePad;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      T* const to = shared + (row + i / 4 * 64 + i % 4) * kPitch + column + g * 64;
      store_pack<4>(to, {sum[i][g * 4], sum[i][g * 4 + 1], sum[i][g * 4 + 2], sum[i][g * 4 + 3]});
    }
  }
  __syncthreads();
  finish_tile<T, kTile, kThreads>(extents, epilogue, origin, shared, sums);
}

template <class T>
GroupedOperand<T> grouped(const ProductOperand& x, int64_t first_batch, int64_t batches) {
  GroupedOperand<T> result{device_operand<T>(x), x.line_stride == 1 && x.step_stride != 1, false};
  const int64_t stride = result.along_lines ? x.step_stride : x.line_stride;
  result.vectors = (x.step_stride == 1 || x.line_stride == 1) && stride % 4 == 0 &&
                   (batches == 1 || x.batch_stride % 4 == 0) && packs<4>(result.at.data);
  result.at.data += first_batch * x.batch_stride;
  return result;
}

template <class T, int kTile>
void launch_tile(Context& context, const Product& p, const ProductLaunch<T>& launch) {
  GPU_LAUNCH((product_kernel<T, kTile>), launch.grid(), dim3(kThreads), (shared_bytes<T, kTile>()), stream_of(context),
             grouped<T>(p.left, launch.first_batch, p.batches), grouped<T>(p.right, launch.first_batch, p.batches),
             launch.extents(p), launch.epilogue);
}

}  // namespace

void launch_fma(Context& context, const Product& p, const ProductLaunch<float>& launch) {
  launch.plan.tile == kLargeTile ? launch_tile<float, kLargeTile>(context, p, launch)
                                 : launch_tile<float, kSmallTile>(context, p, launch);
}
void launch_fma(Context& context, const Product& p, const ProductLaunch<double>& launch) {
  launch_tile<double, kSmallTile>(context, p, launch);
}

}  // namespace tessera::cuda
