// Sixteen floats in two AVX2 registers.
#pragma once
#include <immintrin.h>
#include <string.h>

namespace tapeout {

struct vm {
    __m256 lo, hi;  // all bits of a lane set, or none
};

struct vf {
    __m256 lo, hi;
    vf() = default;
    vf(__m256 l, __m256 h) : lo(l), hi(h) {}
    vf(float x) : lo(_mm256_set1_ps(x)), hi(lo) {}
};

// Sixteen 32-bit integers: bit patterns of floats and counters.
struct vi {
    __m256i lo, hi;
    vi() = default;
    vi(__m256i l, __m256i h) : lo(l), hi(h) {}
    vi(int x) : lo(_mm256_set1_epi32(x)), hi(lo) {}
};

inline vm first_lanes(int n) {
    const __m256i lo = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i end = _mm256_set1_epi32(n);
    const __m256i hi = _mm256_add_epi32(lo, _mm256_set1_epi32(8));
    return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(end, lo)),
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(end, hi))};
}

inline vf operator+(vf a, vf b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline vf operator-(vf a, vf b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline vf operator*(vf a, vf b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline vf operator/(vf a, vf b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline vf fma(vf a, vf b, vf c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline vf sqrt(vf a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
inline vf select(vm m, vf a, vf b) {
    return {_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)};
}
template <int OP> inline vm compare(vf a, vf b) {
    return {_mm256_cmp_ps(a.lo, b.lo, OP), _mm256_cmp_ps(a.hi, b.hi, OP)};
}
// max(a, NaN) is NaN, as in torch; the second operand wins in the instruction.
inline vm is_nan(vf a) { return compare<_CMP_UNORD_Q>(a, a); }
inline vf max(vf a, vf b) {
    return select(is_nan(a), a, vf{_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)});
}
inline vf min(vf a, vf b) {
    return select(is_nan(a), a, vf{_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)});
}
template <int MODE> inline vf round_to(vf a) {
    return {_mm256_round_ps(a.lo, MODE), _mm256_round_ps(a.hi, MODE)};
}
inline vf round_even(vf a) { return round_to<_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC>(a); }
inline vf floor(vf a) { return round_to<_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC>(a); }

inline vm operator<(vf a, vf b) { return compare<_CMP_LT_OQ>(a, b); }
inline vm operator<=(vf a, vf b) { return compare<_CMP_LE_OQ>(a, b); }
inline vm operator>(vf a, vf b) { return b < a; }
inline vm operator>=(vf a, vf b) { return b <= a; }
inline vm operator==(vf a, vf b) { return compare<_CMP_EQ_OQ>(a, b); }
inline vm operator!=(vf a, vf b) { return compare<_CMP_NEQ_UQ>(a, b); }
inline vm operator&(vm a, vm b) { return {_mm256_and_ps(a.lo, b.lo), _mm256_and_ps(a.hi, b.hi)}; }
inline vm operator|(vm a, vm b) { return {_mm256_or_ps(a.lo, b.lo), _mm256_or_ps(a.hi, b.hi)}; }
inline vm operator!(vm a) {
    const __m256 ones = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    return {_mm256_xor_ps(a.lo, ones), _mm256_xor_ps(a.hi, ones)};
}
inline unsigned mask_bits(vm m) {
    return (unsigned)_mm256_movemask_ps(m.lo) | (unsigned)_mm256_movemask_ps(m.hi) << 8;
}

inline vi to_bits(vf a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
inline vf from_bits(vi a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
inline vi to_int(vf a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline vi truncate(vf a) { return {_mm256_cvttps_epi32(a.lo), _mm256_cvttps_epi32(a.hi)}; }
inline vf to_float(vi a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline vm operator==(vi a, vi b) {
    return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.lo, b.lo)),
            _mm256_castsi256_ps(_mm256_cmpeq_epi32(a.hi, b.hi))};
}
inline vi operator+(vi a, vi b) {
    return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
inline vi operator-(vi a, vi b) {
    return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
inline vi operator&(vi a, vi b) {
    return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
inline vi operator|(vi a, vi b) {
    return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
inline vi operator^(vi a, vi b) {
    return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)};
}
template <int N> inline vi shift_left(vi a) {
    return {_mm256_slli_epi32(a.lo, N), _mm256_slli_epi32(a.hi, N)};
}
template <int N> inline vi shift_right(vi a) {
    return {_mm256_srli_epi32(a.lo, N), _mm256_srli_epi32(a.hi, N)};
}
template <int N> inline vi shift_right_signed(vi a) {
    return {_mm256_srai_epi32(a.lo, N), _mm256_srai_epi32(a.hi, N)};
}

inline vf load(const float *p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline vf load_first(const float *p, int n) {
    const vm m = first_lanes(n);
    return {_mm256_maskload_ps(p, _mm256_castps_si256(m.lo)),
            _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.hi))};
}
inline void store(float *p, vf a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
inline void store_first(float *p, vf a, int n) {
    const vm m = first_lanes(n);
    _mm256_maskstore_ps(p, _mm256_castps_si256(m.lo), a.lo);
    _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.hi), a.hi);
}
inline vi load_int(const void *p) {
    const __m256i *q = (const __m256i *)p;
    return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline void store_int(void *p, vi a) {
    __m256i *q = (__m256i *)p;
    _mm256_storeu_si256(q, a.lo);
    _mm256_storeu_si256(q + 1, a.hi);
}

// The low 16 bits of each lane, from and to memory.
inline vi load_u16(const uint16_t *p) {
    const __m128i *q = (const __m128i *)p;
    return {_mm256_cvtepu16_epi32(_mm_loadu_si128(q)),
            _mm256_cvtepu16_epi32(_mm_loadu_si128(q + 1))};
}
inline void store_u16(uint16_t *p, vi a) {
    const __m256i mask = _mm256_set1_epi32(0xffff);
    const __m256i packed = _mm256_packus_epi32(_mm256_and_si256(a.lo, mask),
                                               _mm256_and_si256(a.hi, mask));
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(packed, 0xd8));
}
inline vi load_u16_first(const uint16_t *p, int n) {
    uint16_t whole[16] = {0};
    memcpy(whole, p, (size_t)n * 2);
    return load_u16(whole);
}
inline void store_u16_first(uint16_t *p, vi a, int n) {
    uint16_t whole[16];
    store_u16(whole, a);
    memcpy(p, whole, (size_t)n * 2);
}

// Sums lane i with lane i + 8, then + 4, + 2, + 1: one fixed tree on every level.
inline float reduce_sum(vf a) {
    const __m256 x = _mm256_add_ps(a.lo, a.hi);
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
inline float reduce_max(vf a) {
    const __m256 x = _mm256_max_ps(a.lo, a.hi);
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

}  // namespace tapeout
