// Sampling: a token for each row of logits, by the tables of the row's slot.
//
// The ops are those of ir/ops/sampling.py, in their order: adjust, restrict, sample, logprobs,
// write. A region holds all of them or a part; what it lacks is null below. A row's result depends
// on the row, its slot and the token table alone: never on other rows or on who computes it.
//
// A row is read once to see that it is finite and once to choose, while it is still in the cache;
// top-k and top-p cost about three more passes, and the sets are exact (see sample_sets.h).
#pragma once
#include <math.h>

#include "vec.h"

namespace tapeout {

constexpr i64 MAX_EDITS = 1024, MAX_PREFIX_TOKENS = 2048, NUM_TOP = 20;

// Operands by their names in the IR. R rows, N slots, V tokens of the vocabulary.
struct sample_step {
    const float *logits;              // [R, V]
    const i32 *sample_slots;          // [R]
    const i64 *sample_positions;      // [R], of the token in its sequence
    const i32 *sample_places;         // [R], of the token in the token table
    const i32 *targets;               // [R], -1 to choose
    const i32 *token_table;           // every slot's tokens
    const i32 *num_prompt_tokens;     // [N], as all that follow
    const float *repetition_penalty, *presence_penalty, *frequency_penalty;
    const i32 *num_edits, *edit_tokens, *edit_ends;         // [N], [N, MAX_EDITS], the same
    const float *edit_values;                               // [N, MAX_EDITS]
    const i32 *edit_prefix_starts, *edit_prefixes;          // [N, MAX_EDITS + 1], [N, MAX_PREFIX..]
    const i32 *has_mask, *masks;                            // [N], [N, ceil(V / 32)]
    const float *temperature, *top_p, *min_p;
    const i32 *top_k;
    const i64 *seeds;
    const i32 *num_logprobs, *num_prompt_logprobs;

    float *adjusted, *scores;         // [R, V], results of regions that end there
    i32 *tokens;                      // [R]
    float *chosen_logprobs;           // [R]
    i32 *ranks, *top_token_ids;       // [R], [R, NUM_TOP]
    float *top_logprobs;              // [R, NUM_TOP]
    i32 *new_token_table;             // the token table, to be written

    float *scratch, *more_scratch;    // [R, V] each
    i64 rows, vocabulary;
};

void sample(const sample_step &step, i64 *ticket);

}  // namespace tapeout
