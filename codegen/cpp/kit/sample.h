// Draws one token for each row of logits.
//
//   temperature 0:  the place of the largest logit; ties go to the lowest place
//   otherwise:      the place of the largest logit / temperature + noise (Gumbel's trick)
//
// The noise is Philox4x32-10 keyed by (seed, position) and counted by place: it depends on nothing
// else in the batch. A row that holds a NaN, or
// nothing above minus infinity, gives -1.
#pragma once
#include "vec.h"

namespace tapeout {

struct sample_step {
    const float *logits;       // [rows, vocabulary]
    const float *temperature;  // [rows]
    const i64 *seeds;          // [rows]
    const i64 *positions;      // [rows]
    i32 *tokens;               // [rows]
    i64 rows, vocabulary;
};

void sample(const sample_step &step, i64 *ticket);

}  // namespace tapeout
