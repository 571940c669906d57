// Sixteen floats in one AVX-512 register.
#pragma once
#include <immintrin.h>

namespace tapeout {

struct vm {
    __mmask16 bits;
};

struct vf {
    __m512 v;
    vf() = default;
    vf(__m512 x) : v(x) {}
    vf(float x) : v(_mm512_set1_ps(x)) {}
};

// Sixteen 32-bit integers: bit patterns of floats and counters.
struct vi {
    __m512i v;
    vi() = default;
    vi(__m512i x) : v(x) {}
    vi(int x) : v(_mm512_set1_epi32(x)) {}
};

inline __mmask16 lanes_mask(int n) { return (__mmask16)((1u << n) - 1); }
inline vm first_lanes(int n) { return {lanes_mask(n)}; }

inline vf operator+(vf a, vf b) { return _mm512_add_ps(a.v, b.v); }
inline vf operator-(vf a, vf b) { return _mm512_sub_ps(a.v, b.v); }
inline vf operator*(vf a, vf b) { return _mm512_mul_ps(a.v, b.v); }
inline vf operator/(vf a, vf b) { return _mm512_div_ps(a.v, b.v); }
inline vf fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
inline vf sqrt(vf a) { return _mm512_sqrt_ps(a.v); }
// max(a, NaN) is NaN, as in torch; the second operand wins in the instruction.
inline vm is_nan(vf a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
inline vf max(vf a, vf b) {
    return _mm512_mask_mov_ps(_mm512_max_ps(a.v, b.v), is_nan(a).bits, a.v);
}
inline vf min(vf a, vf b) {
    return _mm512_mask_mov_ps(_mm512_min_ps(a.v, b.v), is_nan(a).bits, a.v);
}
inline vf round_even(vf a) { return _mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT); }
inline vf floor(vf a) { return _mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF); }

inline vm operator<(vf a, vf b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
inline vm operator<=(vf a, vf b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
inline vm operator>(vf a, vf b) { return b < a; }
inline vm operator>=(vf a, vf b) { return b <= a; }
inline vm operator==(vf a, vf b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline vm operator!=(vf a, vf b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
inline vm operator&(vm a, vm b) { return {(__mmask16)(a.bits & b.bits)}; }
inline vm operator|(vm a, vm b) { return {(__mmask16)(a.bits | b.bits)}; }
inline vm operator!(vm a) { return {(__mmask16)~a.bits}; }
inline vf select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m.bits, b.v, a.v); }
inline unsigned mask_bits(vm m) { return m.bits; }

inline vi to_bits(vf a) { return _mm512_castps_si512(a.v); }
inline vf from_bits(vi a) { return _mm512_castsi512_ps(a.v); }
inline vi to_int(vf a) { return _mm512_cvtps_epi32(a.v); }
inline vi truncate(vf a) { return _mm512_cvttps_epi32(a.v); }
inline vf to_float(vi a) { return _mm512_cvtepi32_ps(a.v); }
inline vm operator==(vi a, vi b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
inline vi operator+(vi a, vi b) { return _mm512_add_epi32(a.v, b.v); }
inline vi operator-(vi a, vi b) { return _mm512_sub_epi32(a.v, b.v); }
inline vi operator&(vi a, vi b) { return _mm512_and_si512(a.v, b.v); }
inline vi operator|(vi a, vi b) { return _mm512_or_si512(a.v, b.v); }
inline vi operator^(vi a, vi b) { return _mm512_xor_si512(a.v, b.v); }
template <int N> inline vi shift_left(vi a) { return _mm512_slli_epi32(a.v, N); }
template <int N> inline vi shift_right(vi a) { return _mm512_srli_epi32(a.v, N); }
template <int N> inline vi shift_right_signed(vi a) { return _mm512_srai_epi32(a.v, N); }

inline vf load(const float *p) { return _mm512_loadu_ps(p); }
inline vf load_first(const float *p, int n) { return _mm512_maskz_loadu_ps(lanes_mask(n), p); }
inline void store(float *p, vf a) { _mm512_storeu_ps(p, a.v); }
inline void store_first(float *p, vf a, int n) { _mm512_mask_storeu_ps(p, lanes_mask(n), a.v); }
inline vi load_int(const void *p) { return _mm512_loadu_si512(p); }
inline void store_int(void *p, vi a) { _mm512_storeu_si512(p, a.v); }

// The low 16 bits of each lane, from and to memory.
inline vi load_u16(const uint16_t *p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
}
inline vi load_u16_first(const uint16_t *p, int n) {
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes_mask(n), p));
}
inline void store_u16(uint16_t *p, vi a) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(a.v));
}
inline void store_u16_first(uint16_t *p, vi a, int n) {
    _mm256_mask_storeu_epi16(p, lanes_mask(n), _mm512_cvtepi32_epi16(a.v));
}

// Sums lane i with lane i + 8, then + 4, + 2, + 1: one fixed tree on every level.
inline float reduce_sum(vf a) {
    __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
inline float reduce_max(vf a) {
    __m256 x = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

}  // namespace tapeout
