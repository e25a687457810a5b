#include "engine/ops/copy.h"

#include <cmath>

#include "engine/cuda/strided.h"
#include "engine/cuda/tables.h"

namespace tessera::cuda {
namespace {

/// A conversion that rounds once.
template <class To, class From>
__device__ To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<To, bfloat16>) {
    if constexpr (std::is_same_v<From, float>) return narrow<bfloat16>(x);
    return bfloat16::nearest(static_cast<double>(x));
  } else {
    return static_cast<To>(x);
  }
}

/// y (+)= x. A sum of f32 and bf16 is rounded once from f32, any other floating sum from f64.
template <class X, class Y>
struct Copy {
  static constexpr bool reads_a = true, reads_b = false;
  bool reads_z;

  __device__ Y operator()(X x, X, Y y) const {
    if (!reads_z) return convert<Y>(x);
    if constexpr (!is_floating(kDTypeOf<Y>)) {
      return static_cast<Y>(y + x);
    } else if constexpr (sizeof(X) <= 4 && sizeof(Y) <= 4 && is_floating(kDTypeOf<X>)) {
      return narrow<Y>(widen(y) + widen(x));
    } else {
      return convert<Y>(static_cast<double>(y) + static_cast<double>(x));
    }
  }
};

/// Side of the tile of a transposition: rows of a tile are at least 64 bytes.
template <class X>
inline constexpr int kSide = sizeof(X) <= 2 ? 64 : 32;
constexpr int kTileRows = 8;  // rows of threads

/// A transposition: dimension `row` is dense in x, dimension `column` in y.
struct Tiles {
  int64_t rows, columns;
  int64_t x_column_stride, y_row_stride;
  uint32_t across, down;  // tiles of a matrix
  StridedIndex outer;
};

/// A thread block moves one tile through shared memory: it reads along x and writes along y, each element once.
template <class X, class Y>
__global__ void __launch_bounds__(kWarp* kTileRows)
    transpose_kernel(Copy<X, Y> f, const X* x, Y* y, const __grid_constant__ Tiles t) {
  constexpr int kLength = kSide<X>;
  constexpr int kPad = sizeof(X) < 4 ? 4 / static_cast<int>(sizeof(X)) : 1;  // columns lie in different banks
  GPU_SHARED(X, tile, [kLength][kLength + kPad]);
  const uint32_t matrix = blockIdx.x / (t.across * t.down);
  const uint32_t in_matrix = blockIdx.x - matrix * (t.across * t.down);
  const int64_t first_row = static_cast<int64_t>(in_matrix / t.across) * kLength;
  const int64_t first_column = static_cast<int64_t>(in_matrix % t.across) * kLength;
  int64_t offset[kMapOperands];
  t.outer.offsets(matrix, offset);
  const int lane = static_cast<int>(threadIdx.x);
  const int warp = static_cast<int>(threadIdx.y);
#pragma unroll
  for (int j = warp; j < kLength; j += kTileRows) {
#pragma unroll
    for (int i = lane; i < kLength; i += kWarp) {
      if (first_column + j < t.columns && first_row + i < t.rows) {
        tile[j][i] = x[offset[0] + (first_column + j) * t.x_column_stride + first_row + i];
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int j = warp; j < kLength; j += kTileRows) {
#pragma unroll
    for (int i = lane; i < kLength; i += kWarp) {
      if (first_row + j < t.rows && first_column + i < t.columns) {
        Y* to = y + offset[2] + (first_row + j) * t.y_row_stride + first_column + i;
        *to = f(tile[i][j], X{}, f.reads_z ? *to : Y{});
      }
    }
  }
}

constexpr int64_t kShortSide = 8;  // narrower matrices take the kernel for any strides

/// Launches transpose_kernel where y is dense in its last dimension and x in another. Says whether it did.
template <class X, class Y>
bool transpose(Context& context, const CopyArgs& a, const Copy<X, Y>& f) {
  MergedLayout layout({a.x, View{}, a.y});
  constexpr size_t kX = 0;
  constexpr size_t kY = 2;
  if (layout.rank < 2 || layout.inner_stride(kY) != 1 || layout.inner_stride(kX) == 1) return false;
  int row = -1;
  for (int d = 0; d + 1 < layout.rank; ++d) {
    if (layout.strides[MergedLayout::at(d)][kX] == 1) row = d;
  }
  if (row < 0) return false;
  layout.move_dimension(row, layout.rank - 2);
  const size_t r = MergedLayout::at(layout.rank - 2);
  const size_t c = MergedLayout::at(layout.rank - 1);
  if (layout.shape[r] < kShortSide || layout.shape[c] < kShortSide) return false;
  Tiles t;
  t.rows = layout.shape[r];
  t.columns = layout.shape[c];
  t.x_column_stride = layout.strides[c][kX];
  t.y_row_stride = layout.strides[r][kY];
  const int64_t down = blocks_of(t.rows, kSide<X>);
  const int64_t across = blocks_of(t.columns, kSide<X>);
  const int64_t blocks = layout.numel() / (t.rows * t.columns) * down * across;
  if (blocks > kMaxUnits) return false;
  t.down = static_cast<uint32_t>(down);
  t.across = static_cast<uint32_t>(across);
  t.outer = StridedIndex(layout, layout.rank - 2, 1);
  GPU_LAUNCH((transpose_kernel<X, Y>), dim3(extent(blocks)), dim3(kWarp, kTileRows), 0, stream_of(context), f,
             a.x.data<const X>(), a.y.data<Y>(), t);
  return true;
}

template <class X, class Y>
void copy_as(Context& context, const CopyArgs& a) {
  const Copy<X, Y> f{a.mode == GradMode::accumulate};
  if (a.y.numel() == 0 || transpose<X, Y>(context, a, f)) return;
  map<X, X, Y>(context, a.x, {}, a.y, f);
}

template <class Y>
void copy_to(Context& context, const CopyArgs& a) {
  switch (a.x.dtype) {
    case DType::f32:
      return copy_as<float, Y>(context, a);
    case DType::bf16:
      return copy_as<bfloat16, Y>(context, a);
    case DType::f64:
      return copy_as<double, Y>(context, a);
    case DType::i32:
      return copy_as<int32_t, Y>(context, a);
    case DType::i64:
      return copy_as<int64_t, Y>(context, a);
    case DType::u8:
      return copy_as<uint8_t, Y>(context, a);
  }
}

void copy(Context& context, const CopyArgs& a) {
  switch (a.y.dtype) {
    case DType::f32:
      return copy_to<float>(context, a);
    case DType::bf16:
      return copy_to<bfloat16>(context, a);
    case DType::f64:
      return copy_to<double>(context, a);
    case DType::i32:
      return copy_as<int32_t, int32_t>(context, a);
    case DType::i64:
      return copy_as<int64_t, int64_t>(context, a);
    case DType::u8:
      return copy_as<uint8_t, uint8_t>(context, a);
  }
}

template <class T>
struct Constant {
  static constexpr bool reads_a = false, reads_b = false, reads_z = false;
  T value;
  __device__ T operator()(T, T, T) const { return value; }
};

/// Zero bits over adjacent memory are the driver's own fill.
bool fill_with_zeros(Context& context, const FillArgs& a) {
  if (a.value != 0 || std::signbit(a.value)) return false;
  const MergedLayout layout({View{}, View{}, a.y});
  if (layout.rank > 1 || layout.inner_stride(2) != 1) return false;
  const auto bytes = static_cast<size_t>(layout.numel()) * size_of(a.y.dtype);
  cudaMemsetAsync(a.y.pointer, 0, bytes, stream_of(context));
  launched("fill_with_zeros", stream_of(context));
  return true;
}

template <class T>
void fill_as(Context& context, const FillArgs& a, T value) {
  map<T, T, T>(context, {}, {}, a.y, Constant<T>{value});
}

void fill(Context& context, const FillArgs& a) {
  if (a.y.numel() == 0 || fill_with_zeros(context, a)) return;
  switch (a.y.dtype) {
    case DType::f32:
      return fill_as(context, a, static_cast<float>(a.value));
    case DType::bf16:
      return fill_as(context, a, bfloat16::nearest(a.value));
    case DType::f64:
      return fill_as(context, a, a.value);
    case DType::i32:
      return fill_as(context, a, static_cast<int32_t>(a.value));
    case DType::i64:
      return fill_as(context, a, static_cast<int64_t>(a.value));
    case DType::u8:
      return fill_as(context, a, static_cast<uint8_t>(a.value));
  }
}

template <class T>
__global__ void __launch_bounds__(kMapThreads)
    add_diagonal_kernel(T* y, int64_t step, int64_t count, Compute<T> value) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kMapThreads + threadIdx.x;
  if (i < count) put(y + i * step, value, true);
}

/// A thread an element of the diagonal.
void add_diagonal(Context& context, const AddDiagonalArgs& a) {
  const int64_t count = std::min(a.y.size(0), a.y.size(1));
  if (count == 0) return;
  by_type(a.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    GPU_LAUNCH(add_diagonal_kernel<T>, dim3(extent(blocks_of(count, kMapThreads))), dim3(kMapThreads), 0,
               stream_of(context), a.y.data<T>(), a.y.stride(0) + a.y.stride(1), count, a.value);
  });
}

}  // namespace

const CopyKernels kCopyKernels{.copy = copy, .fill = fill, .add_diagonal = add_diagonal};

}  // namespace tessera::cuda
