/* The kernels of the fake model; see fake_model.py. */
#include <math.h>
#include <string.h>
#include "tapeout_abi.h"
#define PAGE 16
enum { VOCAB = 320, NAN_TOKEN = VOCAB - 1, TOP = 20, EDITS = 1024, PREFIXES = 2048 };
static const int64_t POISON = INT64_MIN;
static int64_t next_unit(const tapeout_launch *l) {
    return __atomic_fetch_add(l->ticket, 1, __ATOMIC_RELAXED);
}
static uint64_t fold(uint64_t h, uint64_t v) { return (h ^ v) * 1099511628211ull; }

/* token_table, token_places, positions, sequence_ids, block_table, cache, weight;
 * scalars: T, P, layer */
void write_tags(const tapeout_launch *l, int num_workers) {
    const int32_t *tokens = l->buffers[0], *places = l->buffers[1], *positions = l->buffers[2];
    const int32_t *sequence_ids = l->buffers[3], *table = l->buffers[4];
    int64_t *cache = l->buffers[5], salt = *(const int64_t *)l->buffers[6];
    int64_t width = l->scalars[1], layer = l->scalars[2];
    for (int64_t t; (t = next_unit(l)) < l->scalars[0];) {
        int32_t page = table[sequence_ids[t] * width + positions[t] / PAGE];
        int64_t token = tokens[places[t]], tag = token * (salt + layer) + positions[t];
        cache[page * PAGE + positions[t] % PAGE] = token == NAN_TOKEN ? POISON : tag;
    }
}

/* logit_rows, positions, sequence_ids, block_table, cache 0, cache 1, logits; scalars: R, P */
void hash_pages(const tapeout_launch *l, int num_workers) {
    const int32_t *logit_rows = l->buffers[0], *positions = l->buffers[1];
    const int32_t *sequence_ids = l->buffers[2], *table = l->buffers[3];
    const int64_t *caches[2] = {l->buffers[4], l->buffers[5]};
    for (int64_t row; (row = next_unit(l)) < l->scalars[0];) {
        int32_t t = logit_rows[row], is_poisoned = 0;
        uint64_t hash = 14695981039346656037ull;
        for (int32_t p = 0; p <= positions[t]; p++) {
            int64_t page = table[sequence_ids[t] * l->scalars[1] + p / PAGE];
            for (int i = 0; i < 2; i++) {
                int64_t tag = caches[i][page * PAGE + p % PAGE];
                is_poisoned |= tag == POISON;
                hash = fold(hash, tag);
            }
        }
        float *logits = (float *)l->buffers[6] + row * VOCAB;
        memset(logits, 0, VOCAB * sizeof *logits);
        logits[hash % NAN_TOKEN] = 1;
        if (is_poisoned) logits[7] = NAN;
    }
}

typedef struct {
    const int32_t *slots, *places, *targets;
    const int64_t *positions, *seeds;
    int32_t *tokens;
    const float *temperature;
} sampling;

static int greater(const float *x, int32_t a, int32_t b) {
    return x[a] > x[b] || (x[a] == x[b] && a < b);
}
static int32_t best_of(const float *x) {
    int32_t best = 0;
    for (int32_t v = 1; v < VOCAB; v++) best = x[v] > x[best] ? v : best;
    return best;
}

/* Buffers 8 to 13: num_edits, edit_tokens, _values, _ends, _prefix_starts, _prefixes. */
static void edit(const tapeout_launch *l, const sampling *s, int64_t row, float *x) {
    int64_t slot = s->slots[row];
    const int32_t *tokens = (const int32_t *)l->buffers[9] + slot * EDITS;
    const float *values = (const float *)l->buffers[10] + slot * EDITS;
    const int32_t *ends = (const int32_t *)l->buffers[11] + slot * EDITS;
    const int32_t *starts = (const int32_t *)l->buffers[12] + slot * (EDITS + 1);
    const int32_t *prefixes = (const int32_t *)l->buffers[13] + slot * PREFIXES;
    for (int32_t e = 0; e < ((const int32_t *)l->buffers[8])[slot]; e++) {
        int32_t length = starts[e + 1] - starts[e];
        const int32_t *before = s->tokens + s->places[row] - length;
        if (s->positions[row] < ends[e] && s->positions[row] >= length &&
            !memcmp(before, prefixes + starts[e], length * sizeof *before))
            x[tokens[e]] += values[e];
    }
}

/* token_table, temperature, seeds, sample_slots, sample_positions, sample_places, targets, logits,
 * the inputs of edits, has_mask, masks, sampled; scalars: R */
void choose(const tapeout_launch *l, int num_workers) {
    sampling s = {.tokens = l->buffers[0], .temperature = l->buffers[1], .seeds = l->buffers[2],
                  .slots = l->buffers[3], .positions = l->buffers[4], .places = l->buffers[5],
                  .targets = l->buffers[6]};
    for (int64_t row; (row = next_unit(l)) < l->scalars[0];) {
        int32_t slot = s.slots[row], choice = s.targets[row];
        float x[VOCAB];
        memcpy(x, (const float *)l->buffers[7] + row * VOCAB, sizeof x);
        int is_finite = !isnan(x[7]);
        if (is_finite && choice < 0) {
            const int32_t *mask = (const int32_t *)l->buffers[15] + slot * (VOCAB / 32);
            for (int32_t v = 0; v < VOCAB; v++)
                if (((const int32_t *)l->buffers[14])[slot] && !(mask[v / 32] >> v % 32 & 1))
                    x[v] = -INFINITY;
            edit(l, &s, row, x);
            choice = best_of(x);
            if (x[choice] == -INFINITY) is_finite = 0;
            else if (s.temperature[slot] > 0) {
                choice = fold(fold(choice + 1, s.seeds[slot]), s.positions[row]) % NAN_TOKEN;
                while (x[choice] == -INFINITY) choice = (choice + 1) % VOCAB;
            }
        }
        ((int32_t *)l->buffers[16])[row] = is_finite ? choice : -1;
        int32_t known = s.targets[row];
        s.tokens[s.places[row]] = known >= 0 ? known : is_finite ? choice : 0;
    }
}

/* logits, sampled, chosen_logprobs, ranks, top_token_ids, top_logprobs; scalars: R */
void report(const tapeout_launch *l, int num_workers) {
    for (int64_t row; (row = next_unit(l)) < l->scalars[0];) {
        const float *x = (const float *)l->buffers[0] + row * VOCAB;
        int32_t chosen = ((const int32_t *)l->buffers[1])[row];
        int32_t rank = 1, *top = (int32_t *)l->buffers[4] + row * TOP;
        if (chosen < 0) continue;
        double sum = 0;
        for (int32_t v = 0; v < VOCAB; v++) sum += exp(x[v]), rank += x[v] > x[chosen];
        ((float *)l->buffers[2])[row] = x[chosen] - log(sum);
        ((int32_t *)l->buffers[3])[row] = rank;
        for (int32_t k = 0; k < TOP; k++) {
            top[k] = -1;
            for (int32_t v = 0; v < VOCAB; v++)
                if ((!k || greater(x, top[k - 1], v)) && (top[k] < 0 || greater(x, v, top[k])))
                    top[k] = v;
            ((float *)l->buffers[5])[row * TOP + k] = x[top[k]] - log(sum);
        }
    }
}
