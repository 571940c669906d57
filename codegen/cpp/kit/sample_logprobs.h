// The logprob and rank of a token, and the most probable tokens, under the softmax of raw logits.
#pragma once
#include "sample.h"
#include "sample_exp.h"

namespace tapeout {

// The NUM_TOP largest seen so far, in order; an equal one that comes later stays behind.
struct top_tokens {
    float logits[NUM_TOP];
    i32 ids[NUM_TOP];

    top_tokens() {
        for (i64 i = 0; i < NUM_TOP; i++) logits[i] = -INFINITY, ids[i] = -1;
    }
    void see(float logit, i32 id) {
        i64 at = NUM_TOP - 1;
        for (; at > 0 && logit > logits[at - 1]; at--) {
            logits[at] = logits[at - 1];
            ids[at] = ids[at - 1];
        }
        logits[at] = logit;
        ids[at] = id;
    }
    float last() const { return logits[NUM_TOP - 1]; }
};

// Sums that a row's logprobs need.
struct row_sums {
    top_tokens best;
    i32 rank = 1;          // of the token
    double log_sum = 0.0;  // of e^logit

    row_sums(const float *x, i64 n, float chosen) {
        each_sixteen(x, n, [&](vf logits, vm lanes, i64 first) {
            rank += __builtin_popcount(mask_bits((logits > vf(chosen)) & lanes));
            unsigned larger = mask_bits((logits > vf(best.last())) & lanes);
            for (; larger; larger &= larger - 1) {
                const i64 v = first + __builtin_ctz(larger);
                if (x[v] > best.last()) best.see(x[v], (i32)v);
            }
        });
        double sums[LANES] = {};
        each_sixteen(x, n, [&](vf logits, vm lanes, i64) {
            double powers[LANES];
            exp_from_top(select(lanes, logits, vf(-INFINITY)), best.logits[0], powers);
            for (int i = 0; i < LANES; i++) sums[i] += powers[i];
        });
        double total = 0.0;
        for (double sum : sums) total += sum;
        log_sum = (double)best.logits[0] + ::log(total);
    }
    float logprob(float logit) const { return (float)((double)logit - log_sum); }

private:
    template <class See> static void each_sixteen(const float *x, i64 n, See &&see) {
        for (i64 first = 0; first < n; first += LANES) {
            const int count = (int)min_of(LANES, n - first);
            see(load(x + first, count), first_lanes(count), first);
        }
    }
};

}  // namespace tapeout
