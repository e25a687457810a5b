#pragma once

// Element-wise kernels over views of any strides: z = f(a, b, z) for up to two operands and the result. f is a function
// object of the device:
//
//   struct F {
//     static constexpr bool reads_a = true, reads_b = false;   // or members that the host sets
//     bool reads_z;
//     __device__ Z operator()(A a, B b, Z z) const { … }       // an operand that is not read comes as zero
//   };
//   map<A, B, Z>(context, a, b, z, F{…});
//
// Dimensions are merged into the fewest on the host. One dense dimension takes map_dense_kernel; all else takes
// map_strided_kernel, with 16-byte accesses where the innermost dimension allows them.
#include <algorithm>
#include <array>

#include "engine/cuda/divisor.h"
#include "engine/cuda/gpu_vector.h"
#include "engine/runtime/context.h"
#include "engine/tensor/view.h"

namespace tessera::cuda {

inline constexpr int kMapOperands = 3;
inline constexpr int kMapThreads = 256;
inline constexpr int64_t kMapElements = 8;              // of a thread
inline constexpr int64_t kMaxUnits = int64_t{1} << 30;  // of a launch with 32-bit indices

/// The common layout of operands of equal shape: extents of 1 are dropped, dimensions are ordered by the strides of the
/// last operand, the result, and merged where all operands allow it. An absent operand has strides of 0.
struct MergedLayout {
  using Strides = std::array<int64_t, kMapOperands>;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::array<Strides, kMaxRank> strides{};  // in elements

  explicit MergedLayout(const std::array<View, kMapOperands>& views) {
    const View& result = views.back();
    for (int d = 0; d < result.rank; ++d) {
      if (result.size(d) == 1) continue;
      shape[at(rank)] = result.size(d);
      for (size_t o = 0; o < views.size(); ++o) strides[at(rank)][o] = views[o] ? views[o].stride(d) : 0;
      ++rank;
    }
    sort();
    merge();
  }
  [[nodiscard]] int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= shape[at(d)];
    return n;
  }
  [[nodiscard]] int64_t inner_stride(size_t operand) const { return rank == 0 ? 1 : strides[at(rank - 1)][operand]; }
  void move_dimension(int from, int to) {
    const auto rotate = [&](auto& a) {
      if (from < to) {
        std::rotate(a.begin() + from, a.begin() + from + 1, a.begin() + to + 1);
      } else {
        std::rotate(a.begin() + to, a.begin() + from, a.begin() + from + 1);
      }
    };
    rotate(shape);
    rotate(strides);
  }
  static size_t at(int d) { return static_cast<size_t>(d); }

 private:
  void sort() {
    constexpr size_t kResult = kMapOperands - 1;
    for (int d = 1; d < rank; ++d) {
      int to = d;
      while (to > 0 && std::abs(strides[at(to - 1)][kResult]) < std::abs(strides[at(d)][kResult])) --to;
      move_dimension(d, to);
    }
  }
  void merge() {
    int kept = 0;
    for (int d = 1; d < rank; ++d) {
      bool adjacent = true;
      for (size_t o = 0; o < kMapOperands; ++o) {
        adjacent = adjacent && strides[at(kept)][o] == strides[at(d)][o] * shape[at(d)];
      }
      const int64_t extent = adjacent ? shape[at(kept)] * shape[at(d)] : shape[at(d)];
      if (!adjacent) ++kept;
      shape[at(kept)] = extent;
      strides[at(kept)] = strides[at(d)];
    }
    rank = rank == 0 ? 0 : kept + 1;
  }
};

/// Where the operands' elements lie, for a kernel: dimensions from the innermost out.
struct StridedIndex {
  int rank = 0;
  Divisor extents[kMaxRank];
  int64_t strides[kMaxRank][kMapOperands] = {};

  StridedIndex() = default;
  /// The first `dims` dimensions of a layout; the innermost of them counts units of `each` elements.
  StridedIndex(const MergedLayout& layout, int dims, int64_t each) : rank(dims) {
    for (int d = 0; d < dims; ++d) {
      const size_t from = MergedLayout::at(dims - 1 - d);
      const int64_t unit = d == 0 ? each : 1;
      extents[d] = Divisor(static_cast<uint32_t>(layout.shape[from] / unit));
      for (size_t o = 0; o < kMapOperands; ++o) strides[d][o] = layout.strides[from][o] * unit;
    }
  }

  /// The offsets of element `index`, counted in row-major order.
  __device__ void offsets(uint32_t index, int64_t (&offset)[kMapOperands]) const {
#pragma unroll
    for (int o = 0; o < kMapOperands; ++o) offset[o] = 0;
#pragma unroll
    for (int d = 0; d < kMaxRank; ++d) {
      if (d >= rank) break;
      uint32_t i = index;
      if (d + 1 < rank) {
        index = extents[d].quotient(index);
        i -= index * extents[d].divisor();
      }
#pragma unroll
      for (int o = 0; o < kMapOperands; ++o) offset[o] += i * strides[d][o];
    }
  }
};

/// Elements of the operands of one thread, W adjacent ones at a time.
template <int W, class A, class B, class Z>
struct MapUnit {
  Pack<A, W> a{};
  Pack<B, W> b{};
  Pack<Z, W> z{};

  template <class F>
  __device__ void load(const F& f, const A* pa, const B* pb, const Z* pz, int64_t ia, int64_t ib, int64_t iz) {
    if (f.reads_a) a = *reinterpret_cast<const Pack<A, W>*>(pa + ia);
    if (f.reads_b) b = *reinterpret_cast<const Pack<B, W>*>(pb + ib);
    if (f.reads_z) z = *reinterpret_cast<const Pack<Z, W>*>(pz + iz);
  }
  template <class F>
  __device__ void store(const F& f, Z* pz) {
#pragma unroll
    for (int i = 0; i < W; ++i) z.v[i] = f(a.v[i], b.v[i], z.v[i]);
    *reinterpret_cast<Pack<Z, W>*>(pz) = z;
  }
};

/// Units of W elements of one thread: all are loaded before the first is stored.
template <int W, class Z>
inline constexpr int kMapUnits = W == 1  ? (sizeof(Z) == 8 ? 2 : 4)
                                 : W < 8 ? 8 / W
                                         : 1;

/// Dense operands. A thread takes 8 elements, in units of W that lie a block apart.
template <int W, class A, class B, class Z, class F>
__global__ void __launch_bounds__(kMapThreads) map_dense_kernel(F f, const A* a, const B* b, Z* z, int64_t count) {
  constexpr int kUnits = kMapUnits<W, Z>;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * (kMapThreads * kUnits) + threadIdx.x) * W;
  MapUnit<W, A, B, Z> units[kUnits];
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    const int64_t at = first + u * (kMapThreads * W);
    if (at + W <= count) units[u].load(f, a, b, z, at, at, at);
  }
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    const int64_t at = first + u * (kMapThreads * W);
    if (at + W <= count) units[u].store(f, z + at);
  }
  const int64_t last = count / W * W + threadIdx.x;  // elements after the last whole unit, by the last block
  if (blockIdx.x + 1 == gridDim.x && last < count) {
    MapUnit<1, A, B, Z> one;
    one.load(f, a, b, z, last, last, last);
    one.store(f, z + last);
  }
}

/// Strided operands; W adjacent elements of the innermost dimension are one unit.
template <int W, class A, class B, class Z, class F>
__global__ void __launch_bounds__(kMapThreads)
    map_strided_kernel(F f, const A* a, const B* b, Z* z, uint32_t count, const __grid_constant__ StridedIndex index) {
  constexpr int kUnits = kMapUnits<W, Z>;
  const uint32_t first = blockIdx.x * (kMapThreads * kUnits) + threadIdx.x;
  MapUnit<W, A, B, Z> units[kUnits];
  int64_t offsets[kUnits][kMapOperands];
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    const uint32_t at = first + u * kMapThreads;
    if (at >= count) continue;
    index.offsets(at, offsets[u]);
    units[u].load(f, a, b, z, offsets[u][0], offsets[u][1], offsets[u][2]);
  }
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    if (first + u * kMapThreads < count) units[u].store(f, z + offsets[u][2]);
  }
}

template <class A, class B, class Z, class F>
class Mapper {
 public:
  Mapper(Context& context, const View& a, const View& b, const View& z, const F& f)
      : context_(context), views_{a, b, z}, f_(f), layout_(views_) {}

  void run() {
    if (layout_.numel() == 0) return;
    if constexpr (kWidth > 1) {
      if (layout_.rank == 1 && dense() && aligned()) return launch_dense();
    }
    split(layout_, {});
  }

 private:
  using Strides = MergedLayout::Strides;
  static constexpr size_t kLargest = std::max({sizeof(A), sizeof(B), sizeof(Z)});
  // Elements of 8 bytes serve checks and indices: they go one by one, and half of the kernels need not exist.
  static constexpr int kWidth = kLargest == 8 ? 1 : kAccessBytes / static_cast<int>(kLargest);

  [[nodiscard]] bool present(size_t o) const { return static_cast<bool>(views_[o]); }
  [[nodiscard]] bool dense() const {
    for (size_t o = 0; o < kMapOperands; ++o) {
      if (present(o) && layout_.inner_stride(o) != 1) return false;
    }
    return true;
  }
  [[nodiscard]] bool aligned() const {
    return packs<kWidth>(views_[0].template data<A>()) && packs<kWidth>(views_[1].template data<B>()) &&
           packs<kWidth>(views_[2].template data<Z>());
  }
  /// Whether kWidth elements of every row start at aligned addresses.
  [[nodiscard]] bool vectors(const MergedLayout& layout) const {
    if (layout.rank == 0 || layout.shape[MergedLayout::at(layout.rank - 1)] % kWidth != 0) return false;
    if (!dense() || !aligned()) return false;
    for (int d = 0; d + 1 < layout.rank; ++d) {
      for (const int64_t stride : layout.strides[MergedLayout::at(d)]) {
        if (stride % kWidth != 0) return false;
      }
    }
    return true;
  }

  void launch_dense() {
    const int64_t count = layout_.shape[0];
    GPU_LAUNCH((map_dense_kernel<kWidth, A, B, Z, F>),
               dim3(extent(blocks_of(count, kMapThreads * kMapUnits<kWidth, Z> * kWidth))), dim3(kMapThreads), 0,
               stream_of(context_), f_, views_[0].template data<const A>(), views_[1].template data<const B>(),
               views_[2].template data<Z>(), count);
  }

  /// Cuts the outermost dimension until a launch can count its elements in 32 bits.
  void split(MergedLayout part, Strides offset) {
    const int64_t count = part.numel();
    if (count <= kMaxUnits) {
      if constexpr (kWidth > 1) {
        if (vectors(part)) return launch<kWidth>(part, offset);
      }
      launch<1>(part, offset);
      return;
    }
    const auto widest = std::max_element(part.shape.begin(), part.shape.begin() + part.rank) - part.shape.begin();
    const auto d = static_cast<size_t>(widest);
    const int64_t all = part.shape[d];
    const int64_t half = blocks_of(all / 2, kWidth) * kWidth;
    part.shape[d] = half;
    split(part, offset);
    for (size_t o = 0; o < kMapOperands; ++o) offset[o] += half * part.strides[d][o];
    part.shape[d] = all - half;
    split(part, offset);
  }

  template <int W>
  void launch(const MergedLayout& part, const Strides& offset) {
    const StridedIndex index(part, part.rank, W);
    const auto count = static_cast<uint32_t>(part.numel() / W);
    constexpr int kUnits = kMapUnits<W, Z>;
    GPU_LAUNCH((map_strided_kernel<W, A, B, Z, F>), dim3(extent(blocks_of(count, kMapThreads * kUnits))),
               dim3(kMapThreads), 0, stream_of(context_), f_, at<const A>(0, offset), at<const B>(1, offset),
               at<Z>(2, offset), count, index);
  }
  template <class T>
  [[nodiscard]] T* at(size_t o, const Strides& offset) const {
    return present(o) ? views_[o].template data<T>() + offset[o] : nullptr;
  }

  Context& context_;
  std::array<View, kMapOperands> views_;
  F f_;
  MergedLayout layout_;
};

/// z = f(a, b, z) for each element; absent views are not read.
template <class A, class B, class Z, class F>
void map(Context& context, const View& a, const View& b, const View& z, const F& f) {
  Mapper<A, B, Z, F>(context, a, b, z, f).run();
}

}  // namespace tessera::cuda
