// Sampling, a row at a time; see sample.h.
#include "sample.h"

#include "sample_adjust.h"
#include "sample_draw.h"
#include "sample_logprobs.h"
#include "sample_sets.h"

namespace tapeout {
namespace {

bool is_finite(const float *x, i64 n) {
    vm broken = first_lanes(0);
    for (i64 v = 0; v < n; v += LANES)
        broken = broken | !(abs(load(x + v, (int)min_of(LANES, n - v))) < vf(INFINITY));
    return !mask_bits(broken);
}

candidates find_candidates(const row_of &r) {
    const sample_step &step = r.step;
    float *scratch = r.part(step.scratch), *more = r.part(step.more_scratch);
    const float *x = adjust_row(r, scratch, (i32 *)more);
    const float temperature = step.temperature ? step.temperature[r.slot] : 0.0f;
    const candidates all{x, r.vocabulary, temperature, -INFINITY};
    if (!step.top_k || !(temperature > 0.0f)) return all;
    const sets sets{step.top_k[r.slot], step.top_p[r.slot], step.min_p[r.slot]};
    if (!sets.restrict(all.n)) return all;
    const float largest = scale_row(x, all.n, temperature, scratch);
    return {scratch, all.n, 1.0f, sets.lowest(scratch, all.n, largest, more)};
}

// For a region that ends before a token is chosen.
void store_scores(const candidates &found, float *scores) {
    for (i64 v = 0; v < found.n; v += LANES)
        store(scores + v, found.scores(v), (int)min_of(LANES, found.n - v));
}

i32 choose(const row_of &r) {
    const sample_step &step = r.step;
    if (!is_finite(r.part(step.logits), r.vocabulary)) return -1;
    if (step.targets[r.row] >= 0) return step.targets[r.row];
    const candidates found = find_candidates(r);
    if (!(found.temperature > 0.0f)) return (i32)found.largest();
    return (i32)found.draw(step.seeds[r.slot], step.sample_positions[r.row]);
}

bool wants_logprobs(const row_of &r) {
    const sample_step &step = r.step;
    if (!step.num_logprobs || step.tokens[r.row] < 0) return false;
    return (step.targets[r.row] >= 0 ? step.num_prompt_logprobs : step.num_logprobs)[r.slot] >= 0;
}

void store_logprobs(const row_of &r) {
    const sample_step &step = r.step;
    const float *x = r.part(step.logits);
    const float chosen = x[step.tokens[r.row]];
    const row_sums sums(x, r.vocabulary, chosen);
    step.chosen_logprobs[r.row] = sums.logprob(chosen);
    step.ranks[r.row] = sums.rank;
    for (i64 i = 0; i < NUM_TOP; i++) {
        step.top_token_ids[r.row * NUM_TOP + i] = sums.best.ids[i];
        step.top_logprobs[r.row * NUM_TOP + i] = sums.logprob(sums.best.logits[i]);
    }
}

void sample_row(const row_of &r) {
    const sample_step &step = r.step;
    if (step.adjusted || step.scores) {
        float *scores = r.part(step.scores ? step.scores : step.adjusted);
        return store_scores(find_candidates(r), scores);
    }
    step.tokens[r.row] = choose(r);
    if (wants_logprobs(r)) store_logprobs(r);
    if (!step.new_token_table) return;
    const i32 target = step.targets[r.row];
    step.new_token_table[step.sample_places[r.row]] =
        (i32)max_of(target >= 0 ? target : step.tokens[r.row], 0);
}

}  // namespace

void sample(const sample_step &step, i64 *ticket) {
    for (i64 row; (row = next_unit(ticket)) < step.rows;) sample_row({step, row});
}

}  // namespace tapeout
