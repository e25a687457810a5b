#pragma once

// Packing: operands are copied into panels that the register tile walks with unit stride. Include inside the region of
// isa_begin.h.
#include "engine/cpu/gemm/tile.h"

namespace tessera::cpu::TESSERA_ISA {

/// One factor of a product: element (line, k) at data[line · line_stride + k · k_stride], k being the summed index.
template <class T>
struct Factor {
  const T* data;
  int64_t line_stride;
  int64_t k_stride;
};

#if defined(TESSERA_ISA_AVX512)
/// Transposes a 16 × 16 block in registers: 64 shuffles for 256 elements.
TESSERA_INLINE void transpose(VecF (&rows)[16]) {
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    t[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
  __m512 u[16];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(t[4 * i]);
    const __m512d b = _mm512_castps_pd(t[4 * i + 1]);
    const __m512d c = _mm512_castps_pd(t[4 * i + 2]);
    const __m512d d = _mm512_castps_pd(t[4 * i + 3]);
    u[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    u[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    u[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    u[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 low = _mm512_shuffle_f32x4(u[i], u[4 + i], 0x88);
    const __m512 high = _mm512_shuffle_f32x4(u[8 + i], u[12 + i], 0x88);
    const __m512 low_odd = _mm512_shuffle_f32x4(u[i], u[4 + i], 0xdd);
    const __m512 high_odd = _mm512_shuffle_f32x4(u[8 + i], u[12 + i], 0xdd);
    rows[i].v = _mm512_shuffle_f32x4(low, high, 0x88);
    rows[4 + i].v = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
    rows[8 + i].v = _mm512_shuffle_f32x4(low, high, 0xdd);
    rows[12 + i].v = _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd);
  }
}
#elif defined(TESSERA_ISA_AVX2)
/// Transposes an 8 × 8 block in registers.
TESSERA_INLINE void transpose(VecF (&rows)[8]) {
  __m256 t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    t[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
  __m256 u[8];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i].v = _mm256_permute2f128_ps(u[i], u[4 + i], 0x20);
    rows[4 + i].v = _mm256_permute2f128_ps(u[i], u[4 + i], 0x31);
  }
}
#endif

/// Lines [0, lines) of a factor whose k is adjacent in memory, transposed into out[k][width]; lines up to `width` are zero.
template <class V, class T, class Out>
inline void pack_transposed(const T* data, int64_t line_stride, int64_t lines, int64_t depth, int64_t width, Out* out) {
  int64_t k = 0;
#if !defined(TESSERA_ISA_PORTABLE)
  if constexpr (V::kWidth > 1) {
    constexpr int kW = V::kWidth;
    for (; k < depth; k += kW) {
      const auto steps = static_cast<int>(min_of(kW, depth - k));
      for (int64_t first = 0; first < width; first += kW) {
        V block[kW];
        for (int i = 0; i < kW; ++i) {
          const int64_t line = first + i;
          block[i] = line < lines ? load<V>(data + line * line_stride + k, steps) : V(0.0);
        }
        transpose(block);
        const auto columns = static_cast<int>(min_of(kW, width - first));
        for (int i = 0; i < steps; ++i) block[i].store(out + (k + i) * width + first, columns);
      }
    }
  }
#endif
  for (; k < depth; ++k) {
    for (int64_t line = 0; line < width; ++line) {
      auto x = typename V::Element(0);
      if (line < lines) x = static_cast<typename V::Element>(data[line * line_stride + k]);
      out[k * width + line] = static_cast<Out>(x);
    }
  }
}

/// The same for a factor whose lines are adjacent in memory.
template <class V, class T, class Out>
inline void pack_straight(const T* data, int64_t k_stride, int64_t lines, int64_t depth, int64_t width, Out* out) {
  for (int64_t k = 0; k < depth; ++k) {
    const T* from = data + k * k_stride;
    Out* to = out + k * width;
    int64_t i = 0;
    for (; i + V::kWidth <= lines; i += V::kWidth) store(load<V>(from + i, Full{}), to + i, Full{});
    if (i < lines) {
      const auto rest = static_cast<int>(lines - i);
      load<V>(from + i, rest).store(to + i, rest);
      i = lines;
    }
    for (; i < width; ++i) to[i] = Out(typename V::Element(0));
  }
}

/// Lines [first, first + lines) and depth [k0, k0 + depth) of a factor into one panel out[depth][width].
template <class V, class T, class Out>
inline void pack_panel(const Factor<T>& f, int64_t first, int64_t lines, int64_t k0, int64_t depth, int64_t width,
                       Out* out) {
  const T* data = f.data + first * f.line_stride + k0 * f.k_stride;
  if (f.line_stride == 1) return pack_straight<V>(data, f.k_stride, lines, depth, width, out);
  if (f.k_stride == 1) return pack_transposed<V>(data, f.line_stride, lines, depth, width, out);
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t i = 0; i < width; ++i) {
      auto x = typename V::Element(0);
      if (i < lines) x = static_cast<typename V::Element>(data[i * f.line_stride + k * f.k_stride]);
      out[k * width + i] = static_cast<Out>(x);
    }
  }
}

}  // namespace tessera::cpu::TESSERA_ISA
