// vf: sixteen floats, the unit of every kernel; bf16 in memory, f32 in registers.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#include "vec_avx512.h"
#else
#include "vec_avx2.h"
#endif

// Loops over the registers of a tile are unrolled whatever the compiler thinks of it: else the
// sums would live in memory.
#define UNROLL _Pragma("GCC unroll 32")

namespace tapeout {

// The instruction-set level that is compiled for.
constexpr int ANY_LEVEL = 0, LEVEL_V3 = 1, LEVEL_V4 = 2, LEVEL_V4_BF16 = 3;
#if defined(__AVX512BF16__)
constexpr int LEVEL = LEVEL_V4_BF16;
#elif defined(__AVX512F__)
constexpr int LEVEL = LEVEL_V4;
#else
constexpr int LEVEL = LEVEL_V3;
#endif

using i64 = int64_t;
using i32 = int32_t;
using f32 = float;

constexpr int LANES = 16;

struct bf16 {
    uint16_t bits;
};

inline vf bf16_to_f32(vi bits) { return from_bits(shift_left<16>(bits)); }

// Rounds to nearest even; a NaN stays a (quiet) NaN.
inline vi f32_to_bf16(vf a) {
    const vi bits = to_bits(a);
    const vi odd = shift_right<16>(bits) & vi(1);
    const vi rounded = shift_right<16>(bits + vi(0x7fff) + odd);
    const vi quiet = shift_right<16>(bits) | vi(0x40);
    return to_bits(select(is_nan(a), from_bits(quiet), from_bits(rounded)));
}

// Loads and stores of the first n of sixteen lanes; absent lanes load as zero.
inline vf load(const float *p, int n) { return n == LANES ? load(p) : load_first(p, n); }
inline vf load(const bf16 *p, int n) {
    const uint16_t *bits = &p->bits;
    return bf16_to_f32(n == LANES ? load_u16(bits) : load_u16_first(bits, n));
}
inline vf load(const i32 *p, int n) {
    return to_float(to_bits(load((const float *)p, n)));
}
inline vf load(const i64 *p, int n) {
    float lanes[LANES] = {};
    for (int i = 0; i < n; i++) lanes[i] = (float)p[i];
    return load(lanes);
}
inline void store(float *p, vf a, int n) {
    if (n == LANES)
        store(p, a);
    else
        store_first(p, a, n);
}
inline void store(bf16 *p, vf a, int n) {
    if (n == LANES)
        store_u16(&p->bits, f32_to_bf16(a));
    else
        store_u16_first(&p->bits, f32_to_bf16(a), n);
}
inline void store(i32 *p, vf a, int n) { store((float *)p, from_bits(truncate(a)), n); }

// One element, for kernels that walk single indices.
inline float load_one(const float *p) { return *p; }
inline float load_one(const bf16 *p) {
    const uint32_t bits = (uint32_t)p->bits << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
inline float load_one(const i32 *p) { return (float)*p; }
inline float load_one(const i64 *p) { return (float)*p; }

inline i64 min_of(i64 a, i64 b) { return a < b ? a : b; }
inline i64 max_of(i64 a, i64 b) { return a > b ? a : b; }
constexpr i64 ceil_div(i64 a, i64 b) { return (a + b - 1) / b; }

// Takes the next unit of a launch's shared work.
inline i64 next_unit(i64 *ticket) { return __atomic_fetch_add(ticket, 1, __ATOMIC_RELAXED); }

}  // namespace tapeout
