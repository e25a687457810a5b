#include "engine/ops/optimizer.h"

#include <algorithm>
#include <cmath>

#include "engine/cuda/gpu_rows.h"
#include "engine/cuda/gpu_vector.h"
#include "engine/cuda/tables.h"
#include "engine/runtime/context.h"

namespace tessera::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEach = 4;                  // adjacent elements of a thread
constexpr int64_t kBlockElements = 4096;  // of a thread block
constexpr int kSteps = static_cast<int>(kBlockElements) / (kThreads * kEach);
constexpr int kChunk = 64;  // ranges of one launch

/// What one range needs, and its part of the arena.
template <class E>
struct Range {
  int64_t begin, end;
  E decay, rate;
  uint32_t first_block;  // of the launch
  uint32_t adapt;
};
/// Some ranges that are not frozen, as an argument of a kernel. Blocks are counted from the multiple of kEach at or
/// before a range's begin, so that accesses are aligned wherever the arena is.
template <class E>
struct Ranges {
  int count = 0;
  bool packed = false;
  Range<E> range[kChunk];

  /// The range that owns a block: the last one whose first block is not after it.
  __device__ int find(uint32_t block) const {
    int low = 0;
    int high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (range[middle].first_block <= block) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

/// kEach adjacent elements of a range, as one thread takes them in one step.
struct Span {
  int64_t at, begin, end;
  bool whole;

  template <class E>
  __device__ Span(const Ranges<E>& ranges, const Range<E>& r, int step)
      : at(r.begin / kEach * kEach + (blockIdx.x - r.first_block) * kBlockElements +
           (step * kThreads + static_cast<int64_t>(threadIdx.x)) * kEach),
        begin(r.begin),
        end(r.end),
        whole(ranges.packed && at >= r.begin && at + kEach <= r.end) {}

  __device__ bool empty() const { return at + kEach <= begin || at >= end; }
  /// Zeros outside the range.
  template <class E>
  __device__ void load(const E* p, E (&v)[kEach]) const {
    if (whole) {
      load_pack<kEach>(p + at, v);
    } else {
#pragma unroll
      for (int i = 0; i < kEach; ++i) v[i] = at + i >= begin && at + i < end ? p[at + i] : E(0);
    }
  }
  template <class E>
  __device__ void store(E* p, const E (&v)[kEach]) const {
    if (whole) {
      store_pack<kEach>(p + at, v);
    } else {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        if (at + i >= begin && at + i < end) p[at + i] = v[i];
      }
    }
  }
};

/// Calls launch(ranges, blocks, first block) for the ranges that are not frozen, kChunk at a time;
/// settings(number, range) fills what depends on the optimiser. `arenas` are the pointers that a kernel accesses.
/// Returns the number of blocks.
template <class E, class Settings, class Launch>
int64_t for_each_chunk(std::span<const ParameterRange> all, std::initializer_list<const E*> arenas,
                       const Settings& settings, const Launch& launch) {
  const bool packed = std::all_of(arenas.begin(), arenas.end(), [](const E* p) { return packs<kEach>(p); });
  Ranges<E> chunk{.count = 0, .packed = packed, .range = {}};
  int64_t blocks = 0;  // of the chunk
  int64_t blocks_before = 0;
  const auto flush = [&] {
    if (chunk.count > 0) launch(chunk, blocks, blocks_before);
    blocks_before += blocks;
    blocks = 0;
    chunk.count = 0;
  };
  for (size_t i = 0; i < all.size(); ++i) {
    const ParameterRange& from = all[i];
    if (from.frozen || from.count == 0) continue;
    if (chunk.count == kChunk) flush();
    Range<E>& to = chunk.range[chunk.count++];
    to = {.begin = from.offset,
          .end = from.offset + from.count,
          .decay = E(0),
          .rate = E(0),
          .first_block = static_cast<uint32_t>(blocks),
          .adapt = 0};
    settings(i, to);
    blocks += blocks_of(to.end - to.begin / kEach * kEach, kBlockElements);
  }
  flush();
  return blocks_before;
}

template <class E>
struct AdamW {
  E *value, *m, *v;
  const E* grad;
  E gradient_scale, beta1, beta2, rest1, rest2, root_scale, eps;
};

/// A thread updates 4 adjacent elements in each of 4 steps. Moves 28 bytes of an f32 parameter.
template <class E>
__global__ void __launch_bounds__(kThreads) adamw_kernel(AdamW<E> a, const __grid_constant__ Ranges<E> ranges) {
  const Range<E>& r = ranges.range[ranges.find(blockIdx.x)];
#pragma unroll 2
  for (int s = 0; s < kSteps; ++s) {
    const Span span(ranges, r, s);
    if (span.empty()) continue;
    E g[kEach];
    E m[kEach];
    E v[kEach];
    E w[kEach];
    span.load(a.grad, g);
    span.load(a.m, m);
    span.load(a.v, v);
    span.load(a.value, w);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const E scaled = g[i] * a.gradient_scale;
      m[i] = a.beta1 * m[i] + a.rest1 * scaled;
      v[i] = a.beta2 * v[i] + a.rest2 * (scaled * scaled);
      w[i] = w[i] * r.decay - r.rate * (m[i] / (std::sqrt(v[i]) * a.root_scale + a.eps));
    }
    span.store(a.m, m);
    span.store(a.v, v);
    span.store(a.value, w);
  }
}

template <class E>
void adamw_as(Context& context, const AdamWArgs& a) {
  const StepState& t = *a.state;
  const AdamW<E> update{.value = a.value.data<E>(),
                        .m = a.m.data<E>(),
                        .v = a.v.data<E>(),
                        .grad = a.grad.data<const E>(),
                        .gradient_scale = static_cast<E>(t.gradient_scale),
                        .beta1 = static_cast<E>(t.beta1),
                        .beta2 = static_cast<E>(t.beta2),
                        .rest1 = static_cast<E>(1.0 - t.beta1),
                        .rest2 = static_cast<E>(1.0 - t.beta2),
                        .root_scale = static_cast<E>(1.0 / std::sqrt(t.bias_correction2)),
                        .eps = static_cast<E>(t.eps)};
  for_each_chunk<E>(
      a.ranges, {update.value, update.m, update.v, update.grad},
      [&](size_t i, Range<E>& r) {
        const double rate = t.lr * static_cast<double>(a.ranges[i].lr_scale);
        r.decay = static_cast<E>(1.0 - rate * static_cast<double>(a.ranges[i].weight_decay));
        r.rate = static_cast<E>(rate / t.bias_correction1);
      },
      [&](const Ranges<E>& ranges, int64_t blocks, int64_t) {
        GPU_LAUNCH(adamw_kernel<E>, dim3(extent(blocks)), dim3(kThreads), 0, stream_of(context), update, ranges);
      });
}

void adamw(Context& context, const AdamWArgs& a) {
  if (a.value.dtype == DType::f64) return adamw_as<double>(context, a);
  adamw_as<float>(context, a);
}

/// A block's sums of squares in f64, one per block: of x, and with kGradient also of the gradient with its decay, for
/// the ranges that adapt. Reads each array once.
template <bool kGradient, class E>
__global__ void __launch_bounds__(kThreads)
    squares_kernel(const E* __restrict__ x, const E* __restrict__ grad, E gradient_scale,
                   const __grid_constant__ Ranges<E> ranges, double* __restrict__ x_squares,
                   double* __restrict__ grad_squares) {
  GPU_SHARED(double, shared, [2][kThreads / kWarp]);
  const Range<E>& r = ranges.range[ranges.find(blockIdx.x)];
  if (kGradient && r.adapt == 0) return;
  double sum = 0;
  double grad_sum = 0;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    const Span span(ranges, r, s);
    if (span.empty()) continue;
    E w[kEach];
    span.load(x, w);
#pragma unroll
    for (int i = 0; i < kEach; ++i) sum += static_cast<double>(w[i]) * static_cast<double>(w[i]);
    if constexpr (kGradient) {
      E g[kEach];
      span.load(grad, g);
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const E pulled = g[i] * gradient_scale + r.decay * w[i];
        grad_sum += static_cast<double>(pulled) * static_cast<double>(pulled);
      }
    }
  }
  sum = block_sum<kThreads / kWarp>(sum, shared[0]);
  if (threadIdx.x == 0) x_squares[blockIdx.x] = sum;
  if constexpr (kGradient) {
    grad_sum = block_sum<kThreads / kWarp>(grad_sum, shared[1]);
    if (threadIdx.x == 0) grad_squares[blockIdx.x] = grad_sum;
  }
}

/// Every thread of a block of kFinishThreads gets the sum of `count` partials.
constexpr int kFinishThreads = 512;
__device__ double sum_partials(const double* partials, int64_t count, double* shared) {
  double sum = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < count; i += kFinishThreads) sum += partials[i];
  return block_sum<kFinishThreads / kWarp>(sum, shared);
}

/// A thread block per range: the factor of its gradient, trust · ‖w‖ / ‖g‖, or 1.
template <class E>
__global__ void __launch_bounds__(kFinishThreads)
    trust_kernel(const __grid_constant__ Ranges<E> ranges, int64_t blocks, const double* __restrict__ x_squares,
                 const double* __restrict__ grad_squares, double trust, double* __restrict__ factors) {
  GPU_SHARED(double, shared, [2][kFinishThreads / kWarp]);
  const int i = static_cast<int>(blockIdx.x);
  double factor = 1;
  if (ranges.range[i].adapt != 0) {
    const int64_t first = ranges.range[i].first_block;
    const int64_t count = (i + 1 < ranges.count ? ranges.range[i + 1].first_block : blocks) - first;
    const double x_norm = std::sqrt(sum_partials(x_squares + first, count, shared[0]));
    const double grad_norm = std::sqrt(sum_partials(grad_squares + first, count, shared[1]));
    if (x_norm > 0 && grad_norm > 0) factor = trust * x_norm / grad_norm;
  }
  if (threadIdx.x == 0) factors[i] = factor;
}

/// u = μ u + factor · (g · gradient_scale + decay · w); w −= rate · u. Moves 20 bytes of an f32 parameter.
template <class E>
__global__ void __launch_bounds__(kThreads)
    momentum_kernel(E* value, const E* grad, E* momentum, double gradient_scale, E mu,
                    const __grid_constant__ Ranges<E> ranges, const double* __restrict__ factors) {
  const int number = ranges.find(blockIdx.x);
  const Range<E>& r = ranges.range[number];
  const double factor = factors[number];
  const E scale = static_cast<E>(gradient_scale * factor);
  const E pull = static_cast<E>(static_cast<double>(r.decay) * factor);
#pragma unroll 2
  for (int s = 0; s < kSteps; ++s) {
    const Span span(ranges, r, s);
    if (span.empty()) continue;
    E w[kEach];
    E g[kEach];
    E u[kEach];
    span.load(value, w);
    span.load(grad, g);
    span.load(momentum, u);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      u[i] = mu * u[i] + (pull * w[i] + g[i] * scale);
      w[i] -= r.rate * u[i];
    }
    span.store(momentum, u);
    span.store(value, w);
  }
}

template <class E>
void lars_as(Context& context, const LarsArgs& a) {
  const StepState& t = *a.state;
  E* value = a.value.data<E>();
  E* momentum = a.momentum.data<E>();
  const E* grad = a.grad.data<const E>();
  const auto settings = [&](size_t i, Range<E>& r) {
    r.adapt = a.adapt[i];
    r.decay = static_cast<E>(a.adapt[i] != 0 ? a.ranges[i].weight_decay : 0.0f);
    r.rate = static_cast<E>(t.lr * static_cast<double>(a.ranges[i].lr_scale));
  };
  for_each_chunk<E>(a.ranges, {value, momentum, grad}, settings, [&](const Ranges<E>& ranges, int64_t blocks, int64_t) {
    const Scratch scratch(context, static_cast<size_t>(2 * blocks + kChunk) * sizeof(double));
    auto* factors = scratch.as<double>();
    double* x_squares = factors + kChunk;
    double* grad_squares = x_squares + blocks;
    const dim3 grid(extent(blocks));
    GPU_LAUNCH((squares_kernel<true, E>), grid, dim3(kThreads), 0, stream_of(context), value, grad, t.gradient_scale,
               ranges, x_squares, grad_squares);
    GPU_LAUNCH(trust_kernel<E>, dim3(static_cast<unsigned>(ranges.count)), dim3(kFinishThreads), 0, stream_of(context),
               ranges, blocks, x_squares, grad_squares, a.trust, factors);
    GPU_LAUNCH(momentum_kernel<E>, grid, dim3(kThreads), 0, stream_of(context), value, grad, momentum, t.gradient_scale,
               a.mu, ranges, factors);
  });
}

void lars(Context& context, const LarsArgs& a) {
  if (a.value.dtype == DType::f64) return lars_as<double>(context, a);
  lars_as<float>(context, a);
}

/// One thread block: out = √Σ partials.
__global__ void __launch_bounds__(kFinishThreads)
    root_kernel(const double* __restrict__ partials, int64_t count, double* out) {
  GPU_SHARED(double, shared, [kFinishThreads / kWarp]);
  const double sum = sum_partials(partials, count, shared);
  if (threadIdx.x == 0) *out = std::sqrt(sum);
}

template <class E>
void norm2_as(Context& context, const Norm2Args& a) {
  const E* x = a.x.data<const E>();
  const auto nothing = [](size_t, Range<E>&) {};
  const int64_t blocks = for_each_chunk<E>(a.ranges, {x}, nothing, [](const Ranges<E>&, int64_t, int64_t) {});
  const Scratch scratch(context, static_cast<size_t>(blocks) * sizeof(double));
  auto* partials = scratch.as<double>();
  for_each_chunk<E>(a.ranges, {x}, nothing, [&](const Ranges<E>& ranges, int64_t count, int64_t first_block) {
    GPU_LAUNCH((squares_kernel<false, E>), dim3(extent(count)), dim3(kThreads), 0, stream_of(context), x, nullptr, 1.0,
               ranges, partials + first_block, nullptr);
  });
  GPU_LAUNCH(root_kernel, dim3(1), dim3(kFinishThreads), 0, stream_of(context), partials, blocks, a.out.data<double>());
}

void norm2(Context& context, const Norm2Args& a) {
  if (a.x.dtype == DType::f64) return norm2_as<double>(context, a);
  norm2_as<float>(context, a);
}

}  // namespace

const OptimizerKernels kOptimizerKernels{.adamw = adamw, .lars = lars, .norm2 = norm2};

}  // namespace tessera::cuda
