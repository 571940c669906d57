// A draw from the softmax of a row's scores: of a span by its mass, then of a place in it by its
// score, each the largest sum with Gumbel noise (see ir/ops/sampling_reference.py).
#pragma once
#include "sample_noise.h"

namespace tapeout {

constexpr i64 SPAN = 1024;
constexpr float LOG_SPAN = 7.0f;  // log(1024) is 6.93: a span's mass is at most this over its top

struct winner {
    float score = -INFINITY;
    i64 place = -1;

    void see(vf scores, i64 first) {
        if (!mask_bits(scores > vf(score))) return;
        score = reduce_max(scores);
        place = first + __builtin_ctz(mask_bits(scores == vf(score)));
    }
};

// A row of scores x / temperature, of which those with x from `lowest` up may be drawn.
struct candidates {
    const float *x;
    i64 n;
    float temperature, lowest;

    // Sixteen of x, minus infinity for those that may not be drawn or are not there.
    vf allowed(i64 first) const {
        const int count = (int)min_of(LANES, n - first);
        const vf all = load(x + first, count);
        return select((all >= vf(lowest)) & first_lanes(count), all, vf(-INFINITY));
    }
    // At temperature 0 scores are x.
    vf scores(i64 first) const {
        return temperature > 0.0f ? allowed(first) / vf(temperature) : allowed(first);
    }
    i64 largest() const {
        winner best;
        for (i64 first = 0; first < n; first += LANES) best.see(scores(first), first);
        return best.place;
    }
    i64 draw(i64 seed, i64 position) const {
        return draw_place(draw_span(seed, position), seed, position);
    }

private:
    float top(i64 first) const {
        vf most(-INFINITY);
        for (i64 v = first; v < min_of(n, first + SPAN); v += LANES) most = max(allowed(v), most);
        return reduce_max(most);
    }
    // log(sum(e^score)) of a span, of which `top` is the largest x.
    float mass(i64 first, float top) const {
        const vf base(top < INFINITY ? top : 0.0f), scale(1.0f / temperature);
        vf sum(0.0f);
        for (i64 v = first; v < min_of(n, first + SPAN); v += LANES) {
            const vf some = allowed(v);
            if (mask_bits(some > vf(-INFINITY))) sum = sum + exp((some - base) * scale);
        }
        return top / temperature + ::logf(reduce_sum(sum));
    }
    // The first place of a span. A mass is found only where it could make a winner.
    i64 draw_span(i64 seed, i64 position) const {
        float best = -INFINITY;
        alignas(64) float noise[PLACES];
        i64 chosen = 0;
        for (i64 first = 0, span = 0; first < n; first += SPAN, span++) {
            if (span % PLACES == 0) gumbel(span, position, seed, OF_SPANS, noise);
            const float most = top(first), added = noise[span % PLACES];
            if (!(most / temperature + LOG_SPAN + added > best)) continue;
            const float sum = mass(first, most) + added;
            if (sum > best) best = sum, chosen = first;
        }
        return chosen;
    }
    i64 draw_place(i64 first, i64 seed, i64 position) const {
        winner best;
        alignas(64) float noise[PLACES];
        for (i64 v = first; v < min_of(n, first + SPAN); v += LANES) {
            if (v % PLACES == 0) gumbel(v, position, seed, OF_PLACES, noise);
            best.see(scores(v) + load(noise + v % PLACES), v);
        }
        return best.place;
    }
};

}  // namespace tapeout
