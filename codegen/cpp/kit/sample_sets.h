// Which scores may be drawn: top-k, top-p and min-p, each as the lowest score that it keeps, so
// that equal scores stay together.
//
// Scores are compared as keys: 32-bit integers in the order of the floats. The lowest score of a
// set is found by digits of its key, the highest first: add up the weight of all scores by that
// digit, walk down from the top until the weight suffices, keep the scores that share the digit,
// go on to the next. For top-k a score weighs 1; for top-p e^(score - largest) in f64, so the set
// is the one that a sum in f64 over sorted scores gives.
#pragma once
#include "sample_exp.h"

namespace tapeout {

constexpr uint32_t SIGN = 0x80000000u;

inline vi key_of(vf x) {
    const vi bits = to_bits(x);
    return bits ^ (shift_right_signed<31>(bits) | vi((int)SIGN));
}
inline float from_key(uint32_t key) {
    const uint32_t bits = key & SIGN ? key ^ SIGN : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct one_each {
    double k;
    void weigh(vf, double *weights) const {
        for (int i = 0; i < LANES; i++) weights[i] = 1.0;
    }
    double enough(double) const { return k; }
};

struct probability {
    double share;
    float largest;
    void weigh(vf scores, double *weights) const { exp_from_top(scores, largest, weights); }
    double enough(double total) const { return share * total; }
};

// Calls see(z, lanes) for sixteen scores at a time, of which `lanes` are at least `floor`.
template <class See> void each_kept(const float *scores, i64 n, float floor, See &&see) {
    for (i64 first = 0; first < n; first += LANES) {
        const int count = (int)min_of(LANES, n - first);
        const vf z = load(scores + first, count);
        const unsigned lanes = mask_bits((z >= vf(floor)) & first_lanes(count));
        if (lanes) see(z, lanes);
    }
}

template <int SHIFT, int BITS> struct digit {
    static constexpr int WAYS = 4;  // sums of a value, so that equal ones need not wait in line
    double sums[1 << BITS][WAYS] = {};

    template <class Weight>
    void add_up(const float *scores, i64 n, float floor, const Weight &weight) {
        each_kept(scores, n, floor, [&](vf z, unsigned lanes) {
            alignas(64) double weights[LANES];
            alignas(64) uint32_t digits[LANES];
            store_int(digits, shift_right<SHIFT>(key_of(z)) & vi((1 << BITS) - 1));
            weight.weigh(z, weights);
            UNROLL for (int i = 0; i < LANES; i++)
                if (lanes >> i & 1) sums[digits[i]][i % WAYS] += weights[i];
        });
    }
    double of(uint32_t value) const {
        const double *ways = sums[value];
        return (ways[0] + ways[1]) + (ways[2] + ways[3]);
    }
    double total() const {
        double sum = 0.0;
        for (uint32_t value = 0; value < 1 << BITS; value++) sum += of(value);
        return sum;
    }
    // The highest value of the digit down to which the weight is `enough`; `above` counts what is
    // over it.
    uint32_t walk_down(double enough, double &above) const {
        uint32_t value = (1 << BITS) - 1;
        while (value > 0 && above + of(value) < enough) above += of(value--);
        return value;
    }
    // Copies the scores whose key begins as `key` does; their number. `kept` may be `scores`.
    static i64 keep(const float *scores, i64 n, float floor, uint32_t key, float *kept) {
        i64 count = 0;
        const vi wanted((int)(key >> SHIFT));
        each_kept(scores, n, floor, [&](vf z, unsigned lanes) {
            alignas(64) float values[LANES];
            lanes &= mask_bits(shift_right<SHIFT>(key_of(z)) == wanted);
            store(values, z);
            if (lanes == (1 << LANES) - 1) {
                store(kept + count, z);
                count += LANES;
            } else {
                for (; lanes; lanes &= lanes - 1) kept[count++] = values[__builtin_ctz(lanes)];
            }
        });
        return count;
    }
};

// The lowest score of the smallest set of highest scores, from `floor` up, that weighs enough.
// Scores hold no -0; `kept` [n] is scratch.
template <class Weight>
float lowest_of_set(const float *scores, i64 n, float floor, const Weight &weight, float *kept) {
    double above = 0.0;
    digit<21, 11> first;
    first.add_up(scores, n, floor, weight);
    const double enough = weight.enough(first.total());
    uint32_t key = first.walk_down(enough, above) << 21;
    n = first.keep(scores, n, floor, key, kept);

    digit<10, 11> second;
    second.add_up(kept, n, floor, weight);
    key |= second.walk_down(enough, above) << 10;
    n = second.keep(kept, n, floor, key, kept);

    digit<0, 10> third;
    third.add_up(kept, n, floor, weight);
    return from_key(key | third.walk_down(enough, above));
}

// The least float that is not below x.
inline float round_up(double x) {
    const float near = (float)x;
    return near < x ? nextafterf(near, INFINITY) : near;
}

struct sets {
    i64 top_k;
    float top_p, min_p;

    bool restrict(i64 vocabulary) const {
        return (top_k > 0 && top_k < vocabulary) || top_p < 1.0f || min_p > 0.0f;
    }
    // The lowest score that is in all sets.
    float lowest(const float *scores, i64 n, float largest, float *scratch) const {
        float low = -INFINITY;
        if (largest == -INFINITY) return low;
        if (top_k > 0 && top_k < n)
            low = lowest_of_set(scores, n, low, one_each{(double)top_k}, scratch);
        if (top_p < 1.0f && largest < INFINITY)
            low = lowest_of_set(scores, n, low, probability{top_p, largest}, scratch);
        else if (top_p < 1.0f)
            low = largest;
        if (min_p > 0.0f) low = fmaxf(low, round_up((double)largest + ::log((double)min_p)));
        return low < largest ? low : largest;
    }
};

// z = x / temperature, without -0; gives the largest.
inline float scale_row(const float *x, i64 n, float temperature, float *z) {
    vf largest(-INFINITY);
    for (i64 first = 0; first < n; first += LANES) {
        const int count = (int)min_of(LANES, n - first);
        const vf scaled = load(x + first, count) / vf(temperature) + vf(0.0f);
        store(z + first, scaled, count);
        largest = max(largest, select(first_lanes(count), scaled, vf(-INFINITY)));
    }
    return reduce_max(largest);
}

}  // namespace tapeout
