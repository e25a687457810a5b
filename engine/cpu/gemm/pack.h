#pragma once

// Packing gathers rows of an operand into panels that the register tile reads front to back. Include inside the
// region of isa_begin.h.
#include "engine/cpu/gemm/transpose.h"
#include "engine/cpu/simd/loops.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

/// One side of a product: element (row, k) is data[row * row_stride + k * k_stride]. For the left side `row` counts
/// rows of the result, for the right side its columns. Both products x W^T and dy W, dy^T x are views of this kind.
template <class T>
struct Operand {
  const T* data = nullptr;
  int64_t row_stride = 0;
  int64_t k_stride = 0;
};

/// The type that elements T are computed in: float for float and bfloat16, double for double.
template <class T>
using Compute = typename VecOf<T>::Type::Element;

/// Elements from one panel to the next for k steps. Packers of narrow panels write whole vectors and so beyond the last
/// step.
template <int panel_rows, class E>
constexpr int64_t panel_stride(int64_t k) {
  constexpr int kWidth = VecOf<E>::Type::kWidth;
  return k * panel_rows + (panel_rows % kWidth == 0 ? 0 : kWidth);
}

/// k adjacent in memory: squares of kWidth rows by kWidth steps are transposed in registers.
template <int panel_rows, class T>
void pack_along_k(const T* x, int64_t row_stride, int64_t rows, int64_t k, Compute<T>* out, int64_t stride) {
  using V = typename VecOf<T>::Type;
  constexpr int kWidth = V::kWidth;
  for (int64_t first = 0; first < rows; first += panel_rows, out += stride) {
    const int64_t valid = min_of(panel_rows, rows - first);
    for (int64_t i = 0; i < k; i += kWidth) {
      const auto steps = static_cast<int>(min_of(kWidth, k - i));
      for (int g = 0; g < panel_rows; g += kWidth) {
        constexpr int kUsed = panel_rows < kWidth ? panel_rows : kWidth;
        const T* from = x + (first + g) * row_stride + i;
        Compute<T>* to = out + i * panel_rows + g;
        V block[kWidth];
        if (steps == kWidth && g + kUsed <= valid) {
#pragma GCC unroll 16
          for (int j = 0; j < kWidth; ++j) block[j] = j < kUsed ? V::load(from + j * row_stride) : V(0.0);
          transpose(block);
#pragma GCC unroll 16
          for (int j = 0; j < kWidth; ++j) block[j].store(to + j * panel_rows);
        } else {
#pragma GCC unroll 16
          for (int j = 0; j < kWidth; ++j) {
            block[j] = j < kUsed && g + j < valid ? V::load(from + j * row_stride, steps) : V(0.0);
          }
          transpose(block);
#pragma GCC unroll 16
          for (int j = 0; j < kWidth; ++j) {
            if (j < steps) block[j].store(to + j * panel_rows);
          }
        }
      }
    }
  }
}

/// Rows adjacent in memory: steps are copied, sixteen at a time for every panel, so that memory is read along its rows.
template <int panel_rows, class T>
void pack_along_rows(const T* x, int64_t k_stride, int64_t rows, int64_t k, Compute<T>* out, int64_t stride) {
  using V = typename VecOf<T>::Type;
  constexpr int kWidth = V::kWidth;
  constexpr int kVectors = (panel_rows + kWidth - 1) / kWidth;
  constexpr int64_t kSteps = 16;
  for (int64_t i0 = 0; i0 < k; i0 += kSteps) {
    const int64_t steps = min_of(kSteps, k - i0);
    const int64_t ahead = i0 + 2 * kSteps <= k ? kSteps * k_stride : 0;
    Compute<T>* panel = out + i0 * panel_rows;
    for (int64_t first = 0; first < rows; first += panel_rows, panel += stride) {
      const T* from = x + i0 * k_stride + first;
      const int64_t valid = rows - first;
      for (int64_t i = 0; i < steps; ++i, from += k_stride) {
        Compute<T>* to = panel + i * panel_rows;
        __builtin_prefetch(from + ahead, 0, 3);
        if constexpr (panel_rows * sizeof(T) > 64) __builtin_prefetch(from + ahead + 64 / sizeof(T), 0, 3);
#pragma GCC unroll 2
        for (int g = 0; g < kVectors; ++g) {
          const int64_t lanes = valid - g * kWidth;
          if (lanes >= kWidth) {
            V::load(from + g * kWidth).store(to + g * kWidth);
          } else {
            (lanes > 0 ? V::load(from + g * kWidth, static_cast<int>(lanes)) : V(0.0)).store(to + g * kWidth);
          }
        }
      }
    }
  }
}

/// Any strides: copies one element at a time.
template <int panel_rows, class T>
void pack_scattered(const Operand<T>& x, int64_t rows, int64_t k, Compute<T>* out, int64_t stride) {
  for (int64_t first = 0; first < rows; first += panel_rows, out += stride) {
    const T* from = x.data + first * x.row_stride;
    const int64_t valid = min_of(panel_rows, rows - first);
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t r = 0; r < panel_rows; ++r) {
        out[i * panel_rows + r] =
            r < valid ? static_cast<Compute<T>>(from[r * x.row_stride + i * x.k_stride]) : Compute<T>(0);
      }
    }
  }
}

/// Packs rows [first, first + rows) of x, steps [k0, k0 + k), into panels of `panel_rows` rows: panel p lies at
/// out + p * stride and holds out[i * panel_rows + r]; the rows that the last panel lacks are 0. `stride` is at least
/// panel_stride<panel_rows, E>(k). Reads no memory outside the rows.
template <int panel_rows, class T>
void pack_panels(const Operand<T>& x, int64_t first, int64_t rows, int64_t k0, int64_t k, Compute<T>* out,
                 int64_t stride) {
  static_assert(panel_rows % VecOf<T>::Type::kWidth == 0 || panel_rows < VecOf<T>::Type::kWidth);
  const Operand<T> part{x.data + first * x.row_stride + k0 * x.k_stride, x.row_stride, x.k_stride};
  if (x.k_stride == 1) {
    pack_along_k<panel_rows>(part.data, x.row_stride, rows, k, out, stride);
  } else if (x.row_stride == 1) {
    pack_along_rows<panel_rows>(part.data, x.k_stride, rows, k, out, stride);
  } else {
    pack_scattered<panel_rows>(part, rows, k, out, stride);
  }
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
