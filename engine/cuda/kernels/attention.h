#pragma once

// What the files of attention share: attention.cu and attention_grad.cu (bf16 on tensor cores) and attention_wide.cu
// (everything else).
#include <algorithm>
#include <limits>

#include "engine/cuda/gpu_math.h"
#include "engine/ops/attention.h"

namespace tessera::cuda::attention {

/// Every type, head width, alignment and bias, without tensor cores.
void forward_wide(Context& context, const AttentionArgs& args);
void backward_wide(Context& context, const AttentionGradArgs& args);

/// bf16 on tensor cores, for the operands that the forward's conditions allow.
void backward_fragments(Context& context, const AttentionGradArgs& args);

/// Scores that no query has. As in the CPU's kernels, a score lies above it.
inline constexpr float kBelowEveryScore = -1e30f;

/// q, k, v, o or a gradient: rows of adjacent elements per head.
template <class T>
struct Rows {
  T* data;
  int64_t row_stride, head_stride;
  __device__ T* at(int64_t row, int head) const { return data + row * row_stride + head * head_stride; }
};
template <class T>
Rows<T> rows_of(const View& v) {
  return {v.data<T>(), v.stride(0), v.stride(1)};
}
/// Whether every row of every head starts at a multiple of `bytes`.
inline bool aligned(const View& v, size_t bytes) {
  const auto multiple = static_cast<int64_t>(bytes / size_of(v.dtype));
  return reinterpret_cast<uintptr_t>(v.pointer) % bytes == 0 && v.stride(0) % multiple == 0 &&
         v.stride(1) % multiple == 0;
}

/// What a kernel knows about the problem besides its operands. A segment's rows are cut into `tiles` tiles.
struct Shape {
  const int64_t* offsets_q;
  const int64_t* offsets_k;
  int64_t lse_stride;
  int64_t first_segment;
  int heads, width, tiles;
  bool causal;
};
template <class Args>
Shape shape_of(const Args& a) {
  return {.offsets_q = a.segments_q.on_device,
          .offsets_k = a.segments_kv.on_device,
          .lse_stride = a.lse.stride(0),
          .first_segment = 0,
          .heads = static_cast<int>(a.q.size(1)),
          .width = static_cast<int>(a.q.size(2)),
          .tiles = 1,
          .causal = a.causal};
}

/// Calls launch(blocks, shape) so that each tile of each head of each segment has a block. Blocks are numbered in one
/// dimension because the other two end at 65,535. Neighbours share their keys in the L2 cache.
template <class Launch>
void launch_tiles(Shape shape, int64_t segments, int64_t tiles, const Launch& launch) {
  shape.tiles = static_cast<int>(tiles);
  const int64_t each = tiles * shape.heads;
  if (each == 0) return;
  const int64_t most = std::max<int64_t>(1, std::numeric_limits<int>::max() / each);
  for (int64_t first = 0; first < segments; first += most) {
    shape.first_segment = first;
    launch(dim3(extent(std::min(most, segments - first) * each)), shape);
  }
}

/// The segment, head and tile of a block.
struct Place {
  int64_t q0, k0;  // first rows
  int nq, nk;      // rows of the segment
  int head, tile;
};
__device__ inline Place segment_at(const Shape& s, int64_t segment, int head, int tile) {
  Place p;
  p.q0 = s.offsets_q[segment];
  p.k0 = s.offsets_k[segment];
  p.nq = static_cast<int>(s.offsets_q[segment + 1] - p.q0);
  p.nk = static_cast<int>(s.offsets_k[segment + 1] - p.k0);
  p.head = head;
  p.tile = tile;
  return p;
}
__device__ inline Place place_of(const Shape& s) {
  const unsigned heads = blockIdx.x / static_cast<unsigned>(s.tiles);
  const unsigned segment = heads / static_cast<unsigned>(s.heads);
  return segment_at(s, s.first_segment + segment, static_cast<int>(heads % static_cast<unsigned>(s.heads)),
                    static_cast<int>(blockIdx.x % static_cast<unsigned>(s.tiles)));
}

}  // namespace tessera::cuda::attention
