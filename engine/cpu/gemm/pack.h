#pragma once

// Packing gathers rows of an operand into panels that the register tile reads front to back. Include inside the
// region of isa_begin.h.
#include "engine/cpu/gemm/transpose.h"
#include "engine/cpu/gemm/unit.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

/// Units from one panel to the next for k of them. Packers of narrow panels write whole vectors and so beyond the last
/// unit.
template <int panel_rows, class U>
constexpr int64_t panel_stride(int64_t k) {
  constexpr int kWidth = UnitVec<U>::kWidth;
  return k * panel_rows + (panel_rows % kWidth == 0 ? 0 : kWidth);
}

/// A part of an operand to be packed: `rows` rows of `steps` steps, from `x` on.
template <class T>
struct Part {
  const T* x;
  int64_t row_stride, k_stride;
  int64_t rows, steps;
};

/// Unit i of a row; zeros beyond the rows and the steps.
template <class U, class T>
TESSERA_INLINE U unit_at(const Part<T>& part, int64_t row, int64_t i) {
  const auto element = [&](int64_t step) {
    const bool inside = row < part.rows && step < part.steps;
    return inside ? static_cast<Sum<U>>(part.x[row * part.row_stride + step * part.k_stride]) : Sum<U>(0);
  };
  if constexpr (UnitTraits<U>::kSteps == 2) {
    return {bfloat16(element(2 * i)), bfloat16(element(2 * i + 1))};
  } else {
    return element(i);
  }
}

/// k adjacent in memory: squares of kWidth rows by kWidth units are transposed in registers.
template <int panel_rows, class U, class T>
void pack_along_k(const Part<T>& part, U* out, int64_t stride) {
  using Load = UnitTraits<U>;
  using V = UnitVec<U>;
  constexpr int kWidth = V::kWidth;
  constexpr int kSteps = Load::kSteps;
  const int64_t k = units<U>(part.steps);
  for (int64_t first = 0; first < part.rows; first += panel_rows, out += stride) {
    const int64_t valid = min_of(panel_rows, part.rows - first);
    for (int64_t i = 0; i < k; i += kWidth) {
      const auto steps = static_cast<int>(min_of(kWidth * kSteps, part.steps - i * kSteps));
      const auto count = static_cast<int>(min_of(kWidth, k - i));
      for (int g = 0; g < panel_rows; g += kWidth) {
        constexpr int kUsed = panel_rows < kWidth ? panel_rows : kWidth;
        const T* from = part.x + (first + g) * part.row_stride + i * kSteps;
        U* to = out + i * panel_rows + g;
        V block[kWidth];
        if (steps == kWidth * kSteps && g + kUsed <= valid) {
#pragma GCC unroll 16
          for (int j = 0; j < kWidth; ++j) {
            block[j] = j < kUsed ? Load::along_k(from + j * part.row_stride) : V(0.0);
          }
          transpose(block);
#pragma GCC unroll 16
          for (int j = 0; j < kWidth; ++j) put_units(block[j], to + j * panel_rows);
        } else {
#pragma GCC unroll 16
          for (int j = 0; j < kWidth; ++j) {
            block[j] = j < kUsed && g + j < valid ? Load::along_k(from + j * part.row_stride, steps) : V(0.0);
          }
          transpose(block);
#pragma GCC unroll 16
          for (int j = 0; j < kWidth; ++j) {
            if (j < count) put_units(block[j], to + j * panel_rows);
          }
        }
      }
    }
  }
}

/// Rows adjacent in memory: units are copied, sixteen at a time for every panel, so that memory is read along its rows.
template <int panel_rows, class U, class T>
void pack_along_rows(const Part<T>& part, U* out, int64_t stride) {
  using Load = UnitTraits<U>;
  using V = UnitVec<U>;
  constexpr int kWidth = V::kWidth;
  constexpr int kVectors = (panel_rows + kWidth - 1) / kWidth;
  constexpr int kSteps = Load::kSteps;
  constexpr int64_t kAtOnce = 4;
  const int64_t k = units<U>(part.steps);
  for (int64_t i0 = 0; i0 < k; i0 += kAtOnce) {
    const int64_t count = min_of(kAtOnce, k - i0);
    const int64_t ahead = i0 + 2 * kAtOnce <= k ? kAtOnce * kSteps * part.k_stride : 0;
    U* panel = out + i0 * panel_rows;
    for (int64_t first = 0; first < part.rows; first += panel_rows, panel += stride) {
      const T* from = part.x + i0 * kSteps * part.k_stride + first;
      const int64_t valid = part.rows - first;
      for (int64_t i = 0; i < count; ++i, from += kSteps * part.k_stride) {
        U* to = panel + i * panel_rows;
        const auto steps = static_cast<int>(min_of(kSteps, part.steps - (i0 + i) * kSteps));
#pragma GCC unroll 2
        for (int s = 0; s < kSteps; ++s) {
          const T* line = from + s * part.k_stride + ahead;
          __builtin_prefetch(line, 0, 3);
          if constexpr (panel_rows * sizeof(T) > 64) __builtin_prefetch(line + 64 / sizeof(T), 0, 3);
        }
#pragma GCC unroll 2
        for (int g = 0; g < kVectors; ++g) {
          const auto lanes = static_cast<int>(min_of(kWidth, valid - g * kWidth));
          const V v = lanes > 0 ? Load::across(from + g * kWidth, part.k_stride, steps, lanes) : V(0.0);
          put_units(v, to + g * kWidth);
        }
      }
    }
  }
}

/// Any strides: copies one element at a time.
template <int panel_rows, class U, class T>
void pack_scattered(const Part<T>& part, U* out, int64_t stride) {
  const int64_t k = units<U>(part.steps);
  for (int64_t first = 0; first < part.rows; first += panel_rows, out += stride) {
    for (int64_t i = 0; i < k; ++i)
      for (int64_t r = 0; r < panel_rows; ++r) out[i * panel_rows + r] = unit_at<U>(part, first + r, i);
  }
}

/// Units [unit, unit + count) of rows [first, first + rows) of an operand that has k steps.
template <class U, class T>
Part<T> part_of(const Operand<T>& x, int64_t first, int64_t rows, int64_t unit, int64_t count, int64_t k) {
  constexpr int kSteps = UnitTraits<U>::kSteps;
  return {x.data + first * x.row_stride + unit * kSteps * x.k_stride, x.row_stride, x.k_stride, rows,
          min_of(count * kSteps, k - unit * kSteps)};
}

/// Packs a part of x (see part_of) into panels of `panel_rows` rows: panel p lies at out + p * stride and holds
/// out[i * panel_rows + r]; the rows that the last panel lacks are 0. `stride` is at least
/// panel_stride<panel_rows, U>(count). Reads no memory outside the part.
template <int panel_rows, class U, class T>
void pack_panels(const Operand<T>& x, int64_t first, int64_t rows, int64_t unit, int64_t count, int64_t k, U* out,
                 int64_t stride) {
  static_assert(panel_rows % UnitVec<U>::kWidth == 0 || panel_rows < UnitVec<U>::kWidth);
  const Part<T> part = part_of<U>(x, first, rows, unit, count, k);
  if (x.k_stride == 1) {
    pack_along_k<panel_rows>(part, out, stride);
  } else if (x.row_stride == 1) {
    pack_along_rows<panel_rows>(part, out, stride);
  } else {
    pack_scattered<panel_rows>(part, out, stride);
  }
}

}  // namespace tessera::cpu::TESSERA_ISA::gemm
