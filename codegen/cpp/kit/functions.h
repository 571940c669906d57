// Elementwise functions on vf, within about 2 units in the last place of float.
#pragma once
#include <math.h>

#include "vec.h"

namespace tapeout {

inline vf operator-(vf a) { return from_bits(to_bits(a) ^ vi((int)0x80000000)); }
inline vf abs(vf a) { return from_bits(to_bits(a) & vi(0x7fffffff)); }
inline vf copy_sign(vf size, vf sign) {
    return from_bits(to_bits(abs(size)) | (to_bits(sign) & vi((int)0x80000000)));
}

template <int N> inline vf polynomial(vf x, const float (&coefficients)[N]) {
    vf sum(coefficients[0]);
    for (int i = 1; i < N; i++) sum = fma(sum, x, vf(coefficients[i]));
    return sum;
}

// Calls a scalar function lane by lane: for functions that are rare or need exact reduction.
template <class F> inline vf by_lane(vf a, F function) {
    float lanes[LANES];
    store(lanes, a);
    for (float &lane : lanes) lane = function(lane);
    return load(lanes);
}

// 2^n for integral n in [-300, 300], as two factors so that small results stay denormal.
inline vf scale_by_power_of_two(vf a, vf n) {
    const vi whole = to_int(n), half = shift_right_signed<1>(whole);
    const vf first = from_bits(shift_left<23>(half + vi(127)));
    const vf second = from_bits(shift_left<23>(whole - half + vi(127)));
    return a * first * second;
}

// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by a polynomial of degree 6 (Cephes).
inline vf exp(vf x) {
    static const float p[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                              4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
    const vf bounded = min(max(x, vf(-110.0f)), vf(100.0f));
    const vf n = round_even(bounded * vf(1.44269504088896341f));
    const vf r = fma(n, vf(2.12194440e-4f), fma(n, vf(-0.693359375f), bounded));
    const vf tail = fma(polynomial(r, p), r * r, r);
    return scale_by_power_of_two(tail + vf(1.0f), n);
}

// x = 2^e m with m in [sqrt 1/2, sqrt 2); log m by a polynomial of degree 8 (Cephes).
inline vf log(vf x) {
    static const float p[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                              -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                              2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    const vm tiny = x < vf(1.17549435e-38f);
    const vf scaled = select(tiny, x * vf(8388608.0f), x);
    const vi bits = to_bits(scaled) - vi(0x3f3504f3);
    const vf e = to_float(shift_right_signed<23>(bits)) - select(tiny, vf(23.0f), vf(0.0f));
    const vf m = from_bits((bits & vi(0x7fffff)) + vi(0x3f3504f3)) - vf(1.0f);
    const vf z = m * m;
    vf y = polynomial(m, p) * m * z;
    y = fma(e, vf(-2.12194440e-4f), y) - vf(0.5f) * z;
    vf result = fma(e, vf(0.693359375f), m + y);
    result = select(x == vf(0.0f), vf(-INFINITY), result);
    result = select(x == vf(INFINITY), x, result);
    return select(x >= vf(0.0f), result, vf(NAN));
}

inline vf tanh(vf x) {
    static const float p[] = {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                              1.33314422036e-1f, -3.33332819422e-1f};
    const vf size = abs(x), square = x * x;
    const vf near = fma(polynomial(square, p) * square, x, x);
    const vf far = vf(1.0f) - vf(2.0f) / (exp(size + size) + vf(1.0f));
    return select(size < vf(0.625f), near, copy_sign(far, x));
}

// Two minimax polynomials, |x| below and above 475/512 (after N. Juffa).
inline vf erf(vf x) {
    static const float near_p[] = {-5.96761703e-4f, 4.99119423e-3f, -2.67681349e-2f,
                                   1.12819925e-1f, -3.76125336e-1f, 1.28379166e-1f};
    static const float far_p[] = {-1.72853470e-5f, 3.83197126e-4f,  -3.88396438e-3f,
                                  2.42546219e-2f,  -1.06777877e-1f, -6.34846687e-1f,
                                  -1.28717512e-1f};
    const vf size = abs(x);
    const vf near = fma(polynomial(x * x, near_p), x, x);
    const vf far = vf(1.0f) - exp(fma(polynomial(size, far_p), size, -size));
    const vf result = select(size > vf(0.927734375f), copy_sign(far, x), near);
    return select(is_nan(x), x, result);
}

inline vf rsqrt(vf x) { return vf(1.0f) / sqrt(x); }
inline vf sigmoid(vf x) { return vf(1.0f) / (vf(1.0f) + exp(-x)); }
inline vf sin(vf x) { return by_lane(x, [](float a) { return ::sinf(a); }); }
inline vf cos(vf x) { return by_lane(x, [](float a) { return ::cosf(a); }); }
inline vf pow(vf x, vf y) {
    float exponents[LANES];
    store(exponents, y);
    int lane = 0;
    return by_lane(x, [&](float a) { return ::powf(a, exponents[lane++]); });
}

}  // namespace tapeout
