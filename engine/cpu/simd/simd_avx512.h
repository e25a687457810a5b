#pragma once

// VecF by AVX-512 F, BW, DQ, VL. See simd.h for the interface.
namespace tessera::cpu::TESSERA_ISA {

struct MaskF {
  __mmask16 m;
};

struct VecF {
  using Element = float;
  using Mask = MaskF;
  static constexpr int kWidth = 16;
  __m512 v;

  VecF() = default;
  TESSERA_INLINE explicit VecF(__m512 x) : v(x) {}
  TESSERA_INLINE explicit VecF(float x) : v(_mm512_set1_ps(x)) {}
  TESSERA_INLINE explicit VecF(double x) : v(_mm512_set1_ps(static_cast<float>(x))) {}
  static TESSERA_INLINE VecF iota() {
    return VecF(_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  }
  static TESSERA_INLINE Mask first(int n) { return {static_cast<__mmask16>((1u << n) - 1u)}; }

  static TESSERA_INLINE VecF load(const float* p) { return VecF(_mm512_loadu_ps(p)); }
  static TESSERA_INLINE VecF load(const float* p, int n) { return VecF(_mm512_maskz_loadu_ps(first(n).m, p)); }
  static TESSERA_INLINE VecF load(const bfloat16* p) {
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static TESSERA_INLINE VecF load(const bfloat16* p, int n) { return widen(_mm256_maskz_loadu_epi16(first(n).m, p)); }
  TESSERA_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  TESSERA_INLINE void store(float* p, int n) const { _mm512_mask_storeu_ps(p, first(n).m, v); }
  TESSERA_INLINE void store(bfloat16* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow()); }
  TESSERA_INLINE void store(bfloat16* p, int n) const { _mm256_mask_storeu_epi16(p, first(n).m, narrow()); }

  static TESSERA_INLINE VecF widen(__m256i x) {
    return VecF(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)));
  }
  /// The lanes as bfloat16.
  [[nodiscard]] TESSERA_INLINE __m256i narrow() const {
    const __m512i u = _mm512_castps_si512(v);
    const __m512i high = _mm512_srli_epi32(u, 16);
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, nan, high, _mm512_set1_epi32(0x40)));
  }
};

TESSERA_INLINE VecF operator+(VecF a, VecF b) { return VecF(_mm512_add_ps(a.v, b.v)); }
TESSERA_INLINE VecF operator-(VecF a, VecF b) { return VecF(_mm512_sub_ps(a.v, b.v)); }
TESSERA_INLINE VecF operator*(VecF a, VecF b) { return VecF(_mm512_mul_ps(a.v, b.v)); }
TESSERA_INLINE VecF operator/(VecF a, VecF b) { return VecF(_mm512_div_ps(a.v, b.v)); }
TESSERA_INLINE VecF operator-(VecF a) { return VecF(_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))); }
TESSERA_INLINE MaskF operator<(VecF a, VecF b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
TESSERA_INLINE MaskF operator<=(VecF a, VecF b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
TESSERA_INLINE MaskF operator==(VecF a, VecF b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
TESSERA_INLINE MaskF is_nan(VecF a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
TESSERA_INLINE VecF fma(VecF a, VecF b, VecF c) { return VecF(_mm512_fmadd_ps(a.v, b.v, c.v)); }
TESSERA_INLINE VecF fnma(VecF a, VecF b, VecF c) { return VecF(_mm512_fnmadd_ps(a.v, b.v, c.v)); }
TESSERA_INLINE VecF min(VecF a, VecF b) { return VecF(_mm512_min_ps(a.v, b.v)); }
TESSERA_INLINE VecF max(VecF a, VecF b) { return VecF(_mm512_max_ps(a.v, b.v)); }
TESSERA_INLINE VecF sqrt(VecF a) { return VecF(_mm512_sqrt_ps(a.v)); }
TESSERA_INLINE VecF abs(VecF a) { return VecF(_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)); }
TESSERA_INLINE VecF round(VecF a) {
  return VecF(_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
TESSERA_INLINE VecF select(MaskF m, VecF a, VecF b) { return VecF(_mm512_mask_blend_ps(m.m, b.v, a.v)); }
TESSERA_INLINE VecF scale2(VecF a, VecF n) { return VecF(_mm512_scalef_ps(a.v, n.v)); }
TESSERA_INLINE VecF scale2_normal(VecF a, VecF n) { return scale2(a, n); }

TESSERA_INLINE float sum(VecF a) {
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
TESSERA_INLINE float max_lane(VecF a) {
  const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

template <>
struct DoubleSum<VecF> {
  __m512d low;
  __m512d high;
  TESSERA_INLINE DoubleSum() : low(_mm512_setzero_pd()), high(_mm512_setzero_pd()) {}
  TESSERA_INLINE void add_product(VecF a, VecF b) {
    low = _mm512_fmadd_pd(low_half(a), low_half(b), low);
    high = _mm512_fmadd_pd(high_half(a), high_half(b), high);
  }
  [[nodiscard]] TESSERA_INLINE double total() const {
    const __m512d all = _mm512_add_pd(low, high);
    const __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(all), _mm512_extractf64x4_pd(all, 1));
    const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
  }

 private:
  static TESSERA_INLINE __m512d low_half(VecF a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a.v)); }
  static TESSERA_INLINE __m512d high_half(VecF a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)); }
};

}  // namespace tessera::cpu::TESSERA_ISA
