#pragma once

// Vectors of pairs: each lane of a VecF holds the bits of two bfloat16, the first in the lower half. Such a vector is
// moved and transposed, never computed on. Include inside the region of isa_begin.h, after simd.h.
//
//   pairs_in_order(a, b)   the lanes of a, then those of b, rounded: lane i holds elements 2i and 2i + 1
//   pairs_of(a, b)         lane i holds a[i] and b[i], rounded
//   pairs_of_exact(a, b)   the same for lanes that are bfloat16 already
namespace tessera::cpu::TESSERA_ISA {

#if defined(TESSERA_ISA_AVX512)

TESSERA_INLINE VecF pairs_in_order(VecF a, VecF b) {
  const __m512i low = _mm512_castsi256_si512(a.narrow());
  return VecF(_mm512_castsi512_ps(_mm512_inserti64x4(low, b.narrow(), 1)));
}
TESSERA_INLINE VecF pairs_of(VecF a, VecF b) {
  const __m512i second = _mm512_slli_epi32(_mm512_cvtepu16_epi32(b.narrow()), 16);
  return VecF(_mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(a.narrow()), second)));
}
TESSERA_INLINE VecF pairs_of_exact(VecF a, VecF b) {
  const __m512i first = _mm512_srli_epi32(_mm512_castps_si512(a.v), 16);
  return VecF(_mm512_castsi512_ps(_mm512_or_si512(first, _mm512_castps_si512(b.v))));
}

#else

TESSERA_INLINE VecF pairs_in_order(VecF a, VecF b) {
  bfloat16 both[2 * VecF::kWidth];
  a.store(both);
  b.store(both + VecF::kWidth);
  float bits[VecF::kWidth];
  __builtin_memcpy(bits, both, sizeof(bits));
  return VecF::load(bits);
}
TESSERA_INLINE VecF pairs_of(VecF a, VecF b) {
  bfloat16 first[VecF::kWidth], second[VecF::kWidth], both[2 * VecF::kWidth];
  a.store(first);
  b.store(second);
  for (int i = 0; i < VecF::kWidth; ++i) {
    both[2 * i] = first[i];
    both[2 * i + 1] = second[i];
  }
  float bits[VecF::kWidth];
  __builtin_memcpy(bits, both, sizeof(bits));
  return VecF::load(bits);
}
TESSERA_INLINE VecF pairs_of_exact(VecF a, VecF b) { return pairs_of(a, b); }

#endif

}  // namespace tessera::cpu::TESSERA_ISA
