#pragma once

// The parts of attention by FMA. A block of 256 threads computes a tile of 64 × 64 scores as 16 × 16 threads with 4 × 4
// scores each; thread (y, x) has rows 4 y … 4 y + 3 and columns x, x + 16, x + 32, x + 48. Operands pass through shared
// memory as f32 or f64, in slices of the head width; results have up to 64 columns, of which a thread has four
// adjacent.
#include "engine/cuda/gpu_rows.h"
#include "engine/cuda/kernels/attention.h"

namespace tessera::cuda::attention {

inline constexpr int kTile = 64;  // rows of a block, and rows that it takes at a time
inline constexpr int kColumns = 64;
inline constexpr int kDepth = 32;
inline constexpr int kThreads = 256;
inline constexpr int kSide = 16;  // threads along a row

/// Four adjacent numbers, in accesses of 16 bytes.
template <class C>
struct alignas(16) Four {
  C v[4];
};
__device__ inline Four<float> load_four(const float* p) { return *reinterpret_cast<const Four<float>*>(p); }
__device__ inline Four<double> load_four(const double* p) { return *reinterpret_cast<const Four<double>*>(p); }
struct alignas(8) Quad {
  bfloat16 v[4];
};
__device__ inline Four<float> load_four(const bfloat16* p) {
  const Quad x = *reinterpret_cast<const Quad*>(p);
  return {{widen(x.v[0]), widen(x.v[1]), widen(x.v[2]), widen(x.v[3])}};
}
__device__ inline void store_four(float* p, const Four<float>& x) { *reinterpret_cast<Four<float>*>(p) = x; }
__device__ inline void store_four(double* p, const Four<double>& x) { *reinterpret_cast<Four<double>*>(p) = x; }
__device__ inline void store_four(bfloat16* p, const Four<float>& x) {
  *reinterpret_cast<Quad*>(p) = {
      {narrow<bfloat16>(x.v[0]), narrow<bfloat16>(x.v[1]), narrow<bfloat16>(x.v[2]), narrow<bfloat16>(x.v[3])}};
}

__device__ inline float fma_of(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double fma_of(double a, double b, double c) { return ::fma(a, b, c); }
__device__ inline float exp_of(float x) { return expf(x); }
__device__ inline double exp_of(double x) { return ::exp(x); }
__device__ inline float log_of(float x) { return logf(x); }
__device__ inline double log_of(double x) { return ::log(x); }

/// Over the 16 threads of a row.
template <class C>
__device__ inline C side_max(C v) {
#pragma unroll
  for (int offset = kSide / 2; offset > 0; offset /= 2) {
    const C other = __shfl_xor_sync(kFullMask, v, offset);
    v = other > v ? other : v;
  }
  return v;
}
template <class C>
__device__ inline C side_sum(C v) {
#pragma unroll
  for (int offset = kSide / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(kFullMask, v, offset);
  return v;
}

__device__ inline int thread_x() { return static_cast<int>(threadIdx.x) % kSide; }
__device__ inline int thread_y() { return static_cast<int>(threadIdx.x) / kSide; }

/// Shared memory of a block. Rows are padded so that threads of a warp read different banks.
template <class C>
struct Tiles {
  C left[kTile][kDepth + 4];
  C right[kTile][kDepth + 4];
  C weights[kTile][kTile + 4];
  C values[kTile][kColumns];
  C levels[2][kTile];  // log-sum-exp and Σ o · d_o of queries
};

/// Some rows of a head, from the first that a tile has. `quick`: four adjacent elements are one aligned access.
template <class T>
struct Source {
  const T* data;
  int64_t stride;
  int rows;
  int width;
  bool quick;
};
template <class T>
__device__ inline Source<T> source(const Rows<const T>& from, int64_t segment, int head, int first, int rows,
                                   const Shape& s, bool quick) {
  return {from.at(segment + first, head), from.row_stride, min(kTile, rows - first), s.width, quick};
}

/// Columns [column, column + kCount) of a tile's rows as numbers; zeros beyond the rows and the width. A thread has two
/// accesses under way.
template <int kCount, int kPitch, class C, class T>
__device__ inline void load_tile(C (&to)[kTile][kPitch], const Source<T>& from, int column) {
#pragma unroll
  for (int first = 0; first < kTile * kCount; first += 2 * 4 * kThreads) {
    Four<C> loaded[2];
#pragma unroll
    for (int u = 0; u < 2; ++u) {
      const int i = first + (static_cast<int>(threadIdx.x) + u * kThreads) * 4;
      const int c = column + i % kCount;
      loaded[u] = Four<C>{};
      if (i / kCount >= from.rows) continue;
      const T* const at = from.data + i / kCount * from.stride + c;
      if (from.quick && c + 4 <= from.width) {
        loaded[u] = load_four(at);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if (c + e < from.width) loaded[u].v[e] = widen(at[e]);
        }
      }
    }
#pragma unroll
    for (int u = 0; u < 2; ++u) {
      const int i = first + (static_cast<int>(threadIdx.x) + u * kThreads) * 4;
      *reinterpret_cast<Four<C>*>(&to[i / kCount][i % kCount]) = loaded[u];
    }
  }
}

/// Whether a warp's rows lie within `rows`. It has four rows of each of two y.
__device__ inline bool has_rows(int rows) { return static_cast<int>(threadIdx.x) / kWarp * 8 < rows; }

/// x = left · rightᵀ over the whole width. Rows and columns beyond the sources are zero.
template <class C, class T>
__device__ inline void products(C (&x)[4][4], const Source<T>& left, const Source<T>& right, Tiles<C>& t) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) x[i][j] = 0;
  }
  for (int column = 0; column < left.width; column += kDepth) {
    __syncthreads();  // the last slice has been read
    load_tile<kDepth>(t.left, left, column);
    load_tile<kDepth>(t.right, right, column);
    __syncthreads();
    if (!has_rows(left.rows)) continue;
    const int depth = min(kDepth, left.width - column);
#pragma unroll 1
    for (int k = 0; k < depth; k += 4) {
      Four<C> a[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = *reinterpret_cast<const Four<C>*>(&t.left[4 * thread_y() + i][k]);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (j * kSide >= right.rows) break;
        const auto b = *reinterpret_cast<const Four<C>*>(&t.right[thread_x() + j * kSide][k]);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
#pragma unroll
          for (int i = 0; i < 4; ++i) x[i][j] = fma_of(a[i].v[e], b.v[e], x[i][j]);
        }
      }
    }
  }
}

/// out[i][e] += weights · values, of column 4 x + e from `column` on. The weights are the tile's, `rows` of them, and
/// the values `values.rows` rows; weights beyond those are zero.
template <class C, class T>
__device__ inline void add_weighted(C (&out)[4][4], const C (&weights)[4][4], int rows, const Source<T>& values,
                                    int column, Tiles<C>& t) {
  __syncthreads();  // the last weights and values have been read
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) t.weights[4 * thread_y() + i][thread_x() + j * kSide] = weights[i][j];
  }
  load_tile<kColumns>(t.values, values, column);
  __syncthreads();
  if (!has_rows(rows)) return;
#pragma unroll 1
  for (int k = 0; k < values.rows; k += 4) {
    Four<C> a[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = *reinterpret_cast<const Four<C>*>(&t.weights[4 * thread_y() + i][k]);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const auto b = *reinterpret_cast<const Four<C>*>(&t.values[k + e][4 * thread_x()]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int n = 0; n < 4; ++n) out[i][n] = fma_of(a[i].v[e], b.v[n], out[i][n]);
      }
    }
  }
}

/// Stores factor[i] · out in the columns of a thread from `column` on.
template <class C, class T>
__device__ inline void store_rows(const C (&out)[4][4], const C (&factor)[4], const Rows<T>& to, int64_t segment,
                                  int head, int first, int rows, int column, int width, bool quick) {
  const int c = column + 4 * thread_x();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first + 4 * thread_y() + i;
    if (row >= rows) continue;
    T* const at = to.at(segment + row, head) + c;
    if (quick && c + 4 <= width) {
      store_four(at, {{out[i][0] * factor[i], out[i][1] * factor[i], out[i][2] * factor[i], out[i][3] * factor[i]}});
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (c + e < width) at[e] = narrow<T>(out[i][e] * factor[i]);
      }
    }
  }
}

}  // namespace tessera::cuda::attention
