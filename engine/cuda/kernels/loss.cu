#include "engine/ops/loss.h"

#include <cmath>

#include "engine/cuda/row_lanes.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 256;
/// Loads in flight; a double has its exponentials one by one, for they need many registers.
template <class E>
constexpr int kUnroll = sizeof(E) == sizeof(float) ? 4 : 1;
/// Longer rows get a block each, shorter ones a warp.
constexpr int64_t kLongestWarpRow = 1024;

/// The largest logit and its column, the first of equals. `column` is `kNone` before any logit that is a number.
constexpr int kNone = 0x7fffffff;
template <class E>
struct Best {
  E value;
  int column;

  __device__ void take(E v, int c) {
    if (v > value || (v == value && c < column)) {
      value = v;
      column = c;
    }
  }
};

/// kWarps warps that own a row together. All of them call these functions.
template <class E, int kWarps>
struct Group {
  static constexpr int kGroups = kThreads / kWarp / kWarps;  // of a block
  static constexpr int kLanes = kWarp * kWarps;

  __device__ static int64_t row() {
    return static_cast<int64_t>(blockIdx.x) * kGroups + static_cast<int>(threadIdx.x) / kLanes;
  }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kLanes; }

  /// The sum over the lanes, in every lane.
  __device__ static E sum(E v, E* shared) {
    if constexpr (kWarps == 1) {
      return warp_sum(v);
    } else {
      return block_sum<kWarps>(v, shared);
    }
  }
  __device__ static Best<E> best(Best<E> b, E* values, int* columns) {
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      const E value = __shfl_xor_sync(kFullMask, b.value, offset);
      b.take(value, __shfl_xor_sync(kFullMask, b.column, offset));
    }
    if constexpr (kWarps > 1) {
      if (threadIdx.x % kWarp == 0) {
        values[threadIdx.x / kWarp] = b.value;
        columns[threadIdx.x / kWarp] = b.column;
      }
      __syncthreads();
      for (int w = 0; w < kWarps; ++w) b.take(values[w], columns[w]);
    }
    return b;
  }
};

template <class E>
struct ForwardData {
  const E* logits;
  const int32_t* labels;   // null where the targets are probabilities
  const E* probabilities;  // null where they are labels
  E *loss, *lse;
  int32_t* argmax;
  int64_t rows;
  int n;
};

/// Σ over a row of f(element, its column), V elements at a time.
template <int V, int kLanes, class E, class F>
__device__ inline void each_element(const E* row, int n, int lane, const F& f) {
#pragma unroll kUnroll < E>
  for (int i = lane * V; i < n; i += kLanes * V) {
    E v[V];
    load_pack<V>(row + i, v);
#pragma unroll
    for (int e = 0; e < V; ++e) f(v[e], i + e);
  }
}

/// A group of warps owns a row: it reads the logits twice, the second time from the cache, and probabilities once. A
/// label outside the row gives NaN and is never an index.
template <class E, int V, int kWarps>
__global__ void __launch_bounds__(kThreads) cross_entropy_kernel(ForwardData<E> a) {
  using Rows = Group<E, kWarps>;
  GPU_SHARED(E, shared, [3][kThreads / kWarp]);
  GPU_SHARED(int, columns, [kThreads / kWarp]);
  const int64_t row = Rows::row();
  if (row >= a.rows) return;
  const int lane = Rows::lane();
  const E* x = a.logits + row * a.n;
  Best<E> best{static_cast<E>(-INFINITY), kNone};
  each_element<V, Rows::kLanes>(x, a.n, lane, [&](E v, int i) { best.take(v, i); });
  best = Rows::best(best, shared[0], columns);
  // Finite, so that a row of -inf alone gives no difference of infinities.
  const E top = best.value > E(-1e30) ? best.value : E(-1e30);
  E exponentials = 0;
  each_element<V, Rows::kLanes>(x, a.n, lane, [&](E v, int) { exponentials += exponential(v - top); });
  const E log_sum = logarithm(Rows::sum(exponentials, shared[1]));
  E loss = 0;
  if (a.labels == nullptr) {
    // Relative to the largest logit, so that the difference of large numbers is taken once.
    E expected = 0;
    const E* p = a.probabilities + row * a.n;
    each_element<V, Rows::kLanes>(p, a.n, lane, [&](E v, int i) { expected = multiply_add(v, x[i] - top, expected); });
    loss = log_sum - Rows::sum(expected, shared[2]);
  } else {
    const int label = a.labels[row];
    loss = label >= 0 && label < a.n ? top + log_sum - x[label] : static_cast<E>(NAN);
  }
  if (lane != 0) return;
  a.lse[row] = top + log_sum;
  a.loss[row] = loss;
  a.argmax[row] = best.column == kNone ? 0 : best.column;
}

template <class E>
struct BackwardData {
  const E* logits;
  const int32_t* labels;   // null where the targets are probabilities
  const E* probabilities;  // null where they are labels
  const E *lse, *dloss;
  E factor;
  E* dlogits;
  bool accumulate;
  int64_t rows;
  int n;
};

/// A group of warps owns a row: logits and probabilities are read once and dlogits is written once.
template <class E, int V, int kWarps>
__global__ void __launch_bounds__(kThreads) cross_entropy_grad_kernel(BackwardData<E> a) {
  using Rows = Group<E, kWarps>;
  const int64_t row = Rows::row();
  if (row >= a.rows) return;
  const int label = a.labels != nullptr ? a.labels[row] : -1;
  const bool unknown = a.labels != nullptr && (label < 0 || label >= a.n);
  const E lse = unknown ? static_cast<E>(NAN) : a.lse[row];
  const E factor = a.factor * a.dloss[0];
  const E* __restrict__ p = a.probabilities;
  const E* __restrict__ logits = a.logits;
  E* __restrict__ dlogits = a.dlogits;
#pragma unroll kUnroll < E>
  for (int i = Rows::lane() * V; i < a.n; i += Rows::kLanes * V) {
    const int64_t at = row * a.n + i;
    E x[V];
    E target[V];
    E out[V];
    load_pack<V>(logits + at, x);
    if (p != nullptr) load_pack<V>(p + at, target);
    if (a.accumulate) load_pack<V>(dlogits + at, out);
#pragma unroll
    for (int e = 0; e < V; ++e) {
      if (p == nullptr) target[e] = i + e == label ? E(1) : E(0);
      const E slope = factor * (exponential(x[e] - lse) - target[e]);
      out[e] = a.accumulate ? out[e] + slope : slope;
    }
    store_pack<V>(dlogits + at, out);
  }
}

/// Calls f(V, warps of a row) with integral constants for rows of n elements.
template <class E, class F>
void by_shape(int64_t n, bool vectors, const F& f) {
  constexpr auto k1 = std::integral_constant<int, 1>();
  constexpr auto kVector = std::integral_constant<int, kPackOf<E>>();
  constexpr auto kBlock = std::integral_constant<int, kThreads / kWarp>();
  if (n <= kLongestWarpRow) {
    vectors ? f(kVector, k1) : f(k1, k1);
  } else {
    vectors ? f(kVector, kBlock) : f(k1, kBlock);
  }
}

template <class E>
void cross_entropy_as(Context& context, const CrossEntropyArgs& args) {
  const bool labels = args.targets.dtype == DType::i32;
  const ForwardData<E> a{.logits = args.logits.data<const E>(),
                         .labels = labels ? args.targets.data<const int32_t>() : nullptr,
                         .probabilities = labels ? nullptr : args.targets.data<const E>(),
                         .loss = args.loss.data<E>(),
                         .lse = args.lse.data<E>(),
                         .argmax = args.argmax.data<int32_t>(),
                         .rows = args.logits.size(0),
                         .n = static_cast<int>(args.logits.size(1))};
  constexpr int kVector = kPackOf<E>;
  const bool vectors = a.n % kVector == 0 && packs<kVector>(a.logits) && packs<kVector>(a.probabilities);
  by_shape<E>(a.n, vectors, [&](auto v, auto warps) {
    GPU_LAUNCH((cross_entropy_kernel<E, v(), warps()>), dim3(extent(blocks_of(a.rows, Group<E, warps()>::kGroups))),
               dim3(kThreads), 0, stream_of(context), a);
  });
}

void cross_entropy(Context& context, const CrossEntropyArgs& a) {
  if (a.logits.size(0) == 0) return;
  a.logits.dtype == DType::f64 ? cross_entropy_as<double>(context, a) : cross_entropy_as<float>(context, a);
}

template <class E>
void cross_entropy_grad_as(Context& context, const CrossEntropyGradArgs& args) {
  const bool labels = args.targets.dtype == DType::i32;
  const BackwardData<E> a{.logits = args.logits.data<const E>(),
                          .labels = labels ? args.targets.data<const int32_t>() : nullptr,
                          .probabilities = labels ? nullptr : args.targets.data<const E>(),
                          .lse = args.lse.data<const E>(),
                          .dloss = args.dloss.data<const E>(),
                          .factor = static_cast<E>(args.factor),
                          .dlogits = args.dlogits.data<E>(),
                          .accumulate = args.mode == GradMode::accumulate,
                          .rows = args.logits.size(0),
                          .n = static_cast<int>(args.logits.size(1))};
  constexpr int kVector = kPackOf<E>;
  const bool vectors =
      a.n % kVector == 0 && packs<kVector>(a.logits) && packs<kVector>(a.probabilities) && packs<kVector>(a.dlogits);
  by_shape<E>(a.n, vectors, [&](auto v, auto warps) {
    GPU_LAUNCH((cross_entropy_grad_kernel<E, v(), warps()>),
               dim3(extent(blocks_of(a.rows, Group<E, warps()>::kGroups))), dim3(kThreads), 0, stream_of(context), a);
  });
}

void cross_entropy_grad(Context& context, const CrossEntropyGradArgs& a) {
  if (a.logits.size(0) == 0 || a.logits.size(1) == 0) return;
  a.logits.dtype == DType::f64 ? cross_entropy_grad_as<double>(context, a) : cross_entropy_grad_as<float>(context, a);
}

}  // namespace

const LossKernels kLossKernels{.cross_entropy = cross_entropy, .cross_entropy_grad = cross_entropy_grad};

}  // namespace tessera::cuda
