#pragma once

// transpose(block): kWidth vectors of kWidth elements, lane j of vector i to lane i of vector j. Include inside the
// region of isa_begin.h.
#include "engine/cpu/simd/simd.h"

namespace tessera::cpu::TESSERA_ISA::gemm {

TESSERA_INLINE void transpose(VecD (&)[1]) {}

#if defined(TESSERA_ISA_AVX512)

/// Pairs, then pairs of pairs within the four lanes of 128 bits, then the lanes themselves in two rounds.
TESSERA_INLINE void transpose(VecF (&block)[16]) {
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(block[i].v, block[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(block[i].v, block[i + 1].v);
  }
  __m512 u[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 4) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const __m512d low = _mm512_castps_pd(t[i + h]);
      const __m512d high = _mm512_castps_pd(t[i + h + 2]);
      u[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      u[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
  // u[4 q + c]: columns c, c + 4, c + 8, c + 12 of rows 4 q … 4 q + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512 even_top = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x88);
    const __m512 odd_top = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xdd);
    const __m512 even_bottom = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x88);
    const __m512 odd_bottom = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xdd);
    block[c].v = _mm512_shuffle_f32x4(even_top, even_bottom, 0x88);
    block[4 + c].v = _mm512_shuffle_f32x4(odd_top, odd_bottom, 0x88);
    block[8 + c].v = _mm512_shuffle_f32x4(even_top, even_bottom, 0xdd);
    block[12 + c].v = _mm512_shuffle_f32x4(odd_top, odd_bottom, 0xdd);
  }
}

#elif defined(TESSERA_ISA_AVX2)

TESSERA_INLINE void transpose(VecF (&block)[8]) {
  __m256 t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(block[i].v, block[i + 1].v);
    t[i + 1] = _mm256_unpackhi_ps(block[i].v, block[i + 1].v);
  }
  __m256 u[8];
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      u[i + 2 * h] = _mm256_shuffle_ps(t[i + h], t[i + h + 2], 0x44);
      u[i + 2 * h + 1] = _mm256_shuffle_ps(t[i + h], t[i + h + 2], 0xee);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    block[c].v = _mm256_permute2f128_ps(u[c], u[4 + c], 0x20);
    block[4 + c].v = _mm256_permute2f128_ps(u[c], u[4 + c], 0x31);
  }
}

#else

TESSERA_INLINE void transpose4(Float4& a, Float4& b, Float4& c, Float4& d) {
  const Float4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Float4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Float4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Float4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}
TESSERA_INLINE void transpose(VecF (&block)[8]) {
  transpose4(block[0].low, block[1].low, block[2].low, block[3].low);
  transpose4(block[0].high, block[1].high, block[2].high, block[3].high);
  transpose4(block[4].low, block[5].low, block[6].low, block[7].low);
  transpose4(block[4].high, block[5].high, block[6].high, block[7].high);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Float4 corner = block[i].high;
    block[i].high = block[4 + i].low;
    block[4 + i].low = corner;
  }
}

#endif

}  // namespace tessera::cpu::TESSERA_ISA::gemm
