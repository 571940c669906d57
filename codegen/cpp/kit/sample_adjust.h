// What a request changes in its logits before they are turned into probabilities: a mask, edits,
// penalties. `x` is a row of V logits, written in place.
#pragma once
#include "sample.h"

namespace tapeout {

struct row_of {
    const sample_step &step;
    i64 row, slot, vocabulary;

    row_of(const sample_step &s, i64 r)
        : step(s), row(r), slot(s.sample_slots[r]), vocabulary(s.vocabulary) {}
    template <class T> T *part(T *rows) const { return rows + row * vocabulary; }
    i64 position() const { return step.sample_positions[row]; }
    // The tokens before the sampled one.
    const i32 *known() const { return step.token_table + step.sample_places[row] - position(); }

    bool penalizes() const {
        return step.repetition_penalty[slot] != 1.0f || step.presence_penalty[slot] != 0.0f ||
               step.frequency_penalty[slot] != 0.0f;
    }
    bool adjusts() const {
        return step.num_edits && (step.num_edits[slot] || step.has_mask[slot] || penalizes());
    }
};

// A token stays where bit v % 32 of word v / 32 is set.
inline void mask_row(const row_of &r, float *x) {
    const uint32_t *words = (const uint32_t *)r.step.masks + r.slot * ceil_div(r.vocabulary, 32);
    for (i64 first = 0; first < r.vocabulary; first += 32) {
        const uint32_t word = words[first / 32];
        if (word == 0xffffffffu) continue;
        const i64 n = min_of(32, r.vocabulary - first);
        for (i64 i = 0; i < n; i++) x[first + i] = word >> i & 1 ? x[first + i] : -INFINITY;
    }
}

inline void edit_row(const row_of &r, float *x) {
    const i64 at = r.slot * MAX_EDITS, position = r.position();
    const i32 *starts = r.step.edit_prefix_starts + r.slot * (MAX_EDITS + 1);
    const i32 *prefixes = r.step.edit_prefixes + r.slot * MAX_PREFIX_TOKENS;
    const i32 *end = r.known() + position;
    for (i64 e = 0; e < r.step.num_edits[r.slot]; e++) {
        const i64 n = starts[e + 1] - starts[e];
        if (position >= r.step.edit_ends[at + e] || n > position) continue;
        if (memcmp(end - n, prefixes + starts[e], n * sizeof(i32)) != 0) continue;
        x[r.step.edit_tokens[at + e]] += r.step.edit_values[at + e];
    }
}

// Once for each token that occurs; `counts` [V] may hold anything.
inline void penalize_row(const row_of &r, float *x, i32 *counts) {
    constexpr i32 SEEN = 1 << 30;  // beside it, how often the token is in the output
    const i32 *tokens = r.known();
    const i64 n = r.position(), num_prompt_tokens = r.step.num_prompt_tokens[r.slot];
    const float repetition = r.step.repetition_penalty[r.slot];
    const float presence = r.step.presence_penalty[r.slot];
    const float frequency = r.step.frequency_penalty[r.slot];
    for (i64 i = 0; i < n; i++) counts[tokens[i]] = SEEN;
    for (i64 i = num_prompt_tokens; i < n; i++) counts[tokens[i]]++;
    for (i64 i = 0; i < n; i++) {
        const i32 count = counts[tokens[i]] - SEEN;
        if (count < 0) continue;  // done before
        counts[tokens[i]] = 0;
        float &logit = x[tokens[i]];
        logit = logit > 0.0f ? logit / repetition : logit * repetition;
        logit -= frequency * (float)count;
        logit -= presence * (float)(count > 0);
    }
}

// The adjusted logits, in `x`; the row itself when nothing is to change.
inline const float *adjust_row(const row_of &r, float *x, i32 *counts) {
    const float *logits = r.part(r.step.logits);
    if (!r.adjusts()) return logits;
    memcpy(x, logits, r.vocabulary * sizeof(float));
    if (r.step.has_mask[r.slot]) mask_row(r, x);
    edit_row(r, x);
    if (r.penalizes()) penalize_row(r, x, counts);
    return x;
}

}  // namespace tapeout
