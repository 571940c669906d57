// e^(score - largest) in f64, for sums that decide which scores are in a set.
#pragma once
#include <math.h>

#include "vec.h"

namespace tapeout {

// e^x for x in [-708, 0] within about a unit in the last place. x = n ln 2 + r, Taylor's series of
// e^r to degree 13. The sum with 1.5 * 2^52 leaves n in the low bits. Without branches, so that the
// compiler makes vectors of it.
inline double exp_below_zero(double x) {
    constexpr double TO_INTEGER = 0x1.8p52;
    static const double p[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                               1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
                               1.0 / 120,        1.0 / 24,        1.0 / 6,        0.5,
                               1.0,              1.0};
    const double shifted = x * 0x1.71547652b82fep0 + TO_INTEGER;
    const double n = shifted - TO_INTEGER;
    const double r =
        __builtin_fma(n, -0x1.abc9e3b39803fp-56, __builtin_fma(n, -0x1.62e42fefa39efp-1, x));
    double sum = p[0];
    UNROLL for (int i = 1; i < 14; i++) sum = __builtin_fma(sum, r, p[i]);
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

// Of sixteen scores; one that is further down than 700 counts as that far, which no sum can see.
inline void exp_from_top(vf scores, float largest, double *results) {
    const vm far = scores - vf(largest) < vf(-700.0f);
    alignas(64) float from[LANES], to[LANES];
    store(from, select(far, vf(-700.0f), scores));
    store(to, select(far, vf(0.0f), vf(largest)));
    for (int i = 0; i < LANES; i++) results[i] = exp_below_zero((double)from[i] - (double)to[i]);
}

}  // namespace tapeout
