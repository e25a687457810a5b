// Products of f32 and of f64 operands by multiply-adds: f32 never loses digits to a narrower matrix unit.
#include "engine/cuda/gpu_product.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSide = 16;  // threads along either side of a tile

/// Steps of k in a stage: a thread keeps a few elements of the next one in registers, beside its sums.
template <int kTile>
inline constexpr int kSteps = kTile > kSmallTile ? 8 : 16;

/// An operand and the way in which a block reads it: groups of four elements along the lines or along the steps,
/// whichever are adjacent in memory.
template <class T>
struct GroupedOperand {
  DeviceOperand<T> at;
  bool along_lines;
};

/// Where a stage [step][line] keeps an element. Lines change places within groups of 32 so that threads which write one
/// line each meet no bank twice; groups of four stay together.
template <int kTile>
__device__ inline int place(int step, int line) {
  return step * kTile + (line ^ (step / 4 * (128 / kSteps<kTile>)));
}

/// A thread's share of a stage, on its way from memory to shared memory. With kVectors a group is one access, which
/// needs whole groups in the matrix.
template <class T, int kTile, bool kVectors>
class Share {
 public:
  /// Begins at line `first` and step `begin`.
  __device__ Share(const GroupedOperand<T>& x, int first, int lines, int64_t begin) : x_(x) {
    const T* const data = x.at.data + static_cast<int64_t>(blockIdx.y) * x.at.batch_stride;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      // Lines outside the matrix repeat its last ones, because their results are dropped.
      const int last = kVectors && x.along_lines ? lines - 4 : lines - 1;
      from_[i] = data + min(first + line(i), last) * x.at.line_stride + (begin + step(i)) * x.at.step_stride;
      lines_ = lines - first;
    }
  }
  /// Reads the next stage, of which `steps` are left; the steps after them are zeros.
  __device__ void read_next(int steps_left) {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      const T* const p = from_[i];
      from_[i] += kSteps<kTile> * x_.at.step_stride;
      const int steps = steps_left - step(i);
      if constexpr (kVectors) {
        if (steps > 0) {
          load_pack<4>(p, v_[i]);
        } else {
          v_[i][0] = v_[i][1] = v_[i][2] = v_[i][3] = T(0);
        }
      } else {
        const int along = steps <= 0 ? 0 : x_.along_lines ? lines_ - line(i) : steps;
        const int64_t stride = x_.along_lines ? x_.at.line_stride : x_.at.step_stride;
#pragma unroll
        for (int c = 0; c < 4; ++c) v_[i][c] = c < along ? p[c * stride] : T(0);
      }
    }
  }
  __device__ void write(T* stage) const {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      if (x_.along_lines) {
        store_pack<4>(stage + place<kTile>(step(i), line(i)), v_[i]);
      } else {
#pragma unroll
        for (int c = 0; c < 4; ++c) stage[place<kTile>(step(i) + c, line(i))] = v_[i][c];
      }
    }
  }

 private:
  static constexpr int kGroups = kTile * kSteps<kTile> / 4 / kThreads;

  /// The first line and step of group i.
  __device__ int line(int i) const {
    const int group = static_cast<int>(threadIdx.x) + i * kThreads;
    return x_.along_lines ? group % (kTile / 4) * 4 : group / (kSteps<kTile> / 4);
  }
  __device__ int step(int i) const {
    const int group = static_cast<int>(threadIdx.x) + i * kThreads;
    return x_.along_lines ? group / (kTile / 4) : group % (kSteps<kTile> / 4) * 4;
  }

  const GroupedOperand<T>& x_;
  const T* from_[kGroups];
  int lines_;
  T v_[kGroups][4];
};

template <class T, int kTile>
constexpr size_t shared_bytes() {
  constexpr size_t kCopies = size_t{4} * kTile * kSteps<kTile>;
  constexpr size_t kFinished = finished_elements<kTile, kThreads>;
  return (kCopies > kFinished ? kCopies : kFinished) * sizeof(T);
}

/// One tile kTile × kTile of the result per block; a thread owns groups of 4 × 4 elements, 64 apart. The next stage is
/// read into registers while one is computed. Sums run over k in ascending order.
template <class T, int kTile, bool kVectors>
__global__ void __launch_bounds__(kThreads, kVectors ? 2 : 1)
    product_kernel(GroupedOperand<T> left, GroupedOperand<T> right, DeviceExtents extents, DeviceEpilogue<T> epilogue) {
  GPU_DYNAMIC_SHARED(T, shared);
  constexpr int kOwn = kTile / kSide;
  constexpr int kGroups = kOwn / 4;
  constexpr int kStage = kTile * kSteps<kTile>;
  T* const lefts = shared;
  T* const rights = shared + 2 * kStage;
  const int row = static_cast<int>(threadIdx.x) / kSide * 4;
  const int column = static_cast<int>(threadIdx.x) % kSide * 4;
  const TileOrigin origin = tile_origin(extents, kTile);
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * extents.part_stride;
  const auto steps = static_cast<int>(extents.part < extents.k - begin ? extents.part : extents.k - begin);
  const bool outside = origin.row + row >= extents.m || origin.column + column >= extents.n;  // of the result
  T sum[kOwn][kOwn] = {};
  Share<T, kTile, kVectors> next_left(left, origin.row, extents.m, begin);
  Share<T, kTile, kVectors> next_right(right, origin.column, extents.n, begin);
  next_left.read_next(steps);
  next_right.read_next(steps);
  int stage = 0;
  for (int steps_left = steps; steps_left > 0; steps_left -= kSteps<kTile>, stage ^= 1) {
    T* const l = lefts + stage * kStage;
    T* const r = rights + stage * kStage;
    next_left.write(l);
    next_right.write(r);
    __syncthreads();
    if (steps_left > kSteps<kTile>) {
      next_left.read_next(steps_left - kSteps<kTile>);
      next_right.read_next(steps_left - kSteps<kTile>);
    }
    // Unrolled as far as place() keeps one order.
#pragma unroll 1
    for (int four = 0; four < kSteps<kTile>; four += 4) {
      const T* const a_line = l + place<kTile>(four, row);
      const T* const b_line = r + place<kTile>(four, column);
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        if (kEmulated && (four + step >= steps_left || outside)) break;
        T a[kGroups][4];
        T b[kGroups][4];
#pragma unroll
        for (int g = 0; g < kGroups; ++g) {
          load_pack<4>(a_line + step * kTile + g * 64, a[g]);
          load_pack<4>(b_line + step * kTile + g * 64, b[g]);
        }
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
#pragma unroll
          for (int j = 0; j < kOwn; ++j) sum[i][j] += a[i / 4][i % 4] * b[j / 4][j % 4];
        }
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
  finish_tile<T, kTile, kThreads>(extents, epilogue, origin, shared);
}

template <class T>
GroupedOperand<T> grouped(const ProductOperand& x, int64_t first_batch) {
  GroupedOperand<T> result{device_operand<T>(x), x.line_stride == 1 && x.step_stride != 1};
  result.at.data += first_batch * x.batch_stride;
  return result;
}
/// Whether groups of four adjacent f32 are whole and aligned everywhere.
bool vectors(const ProductOperand& x, int64_t lines, int64_t k, int64_t batches) {
  const bool along_lines = x.line_stride == 1 && x.step_stride != 1;
  return (along_lines || x.step_stride == 1) && (along_lines ? x.step_stride : x.line_stride) % 4 == 0 &&
         (along_lines ? lines : k) % 4 == 0 && (batches == 1 || x.batch_stride % 4 == 0) &&
         packs<4>(static_cast<const float*>(x.data));
}

bool vectors(const Product& p) { return vectors(p.left, p.m, p.k, p.batches) && vectors(p.right, p.n, p.k, p.batches); }

template <class T, int kTile, bool kVectors>
void launch_tile(Context& context, const Product& p, const ProductLaunch<T>& launch) {
  GPU_LAUNCH((product_kernel<T, kTile, kVectors>), launch.grid(), dim3(kThreads), (shared_bytes<T, kTile>()),
             stream_of(context), grouped<T>(p.left, launch.first_batch), grouped<T>(p.right, launch.first_batch),
             launch.extents(p), launch.epilogue);
}

}  // namespace

int largest_tile_fma(const Product& p) { return p.dtype == DType::f32 && vectors(p) ? kLargeTile : kSmallTile; }

void launch_fma(Context& context, const Product& p, const ProductLaunch<float>& launch) {
  if (!vectors(p)) return launch_tile<float, kSmallTile, false>(context, p, launch);
  launch.plan.tile == kLargeTile ? launch_tile<float, kLargeTile, true>(context, p, launch)
                                 : launch_tile<float, kSmallTile, true>(context, p, launch);
}
void launch_fma(Context& context, const Product& p, const ProductLaunch<double>& launch) {
  launch_tile<double, kSmallTile, false>(context, p, launch);
}

}  // namespace tessera::cuda
