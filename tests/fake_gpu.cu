// The fake model's kernels for a GPU, see ../../fake_model.c; one thread of a block does a row.
// As C++ for the fake driver they are run block by block, with `block_index` set before each.
#include <math.h>
#include <stdint.h>
#ifdef __CUDACC__
#define KERNEL(name, num_parameters) extern "C" __global__ void name
#define DEVICE __device__
// Kernels may begin before the one before has ended, so first of all each waits for that.
__device__ static int32_t row_of_block() {
    asm volatile("griddepcontrol.launch_dependents;\n griddepcontrol.wait;" ::: "memory");
    return threadIdx.x ? INT32_MAX : (int32_t)blockIdx.x;
}
#define ROW row_of_block()
#else
extern "C" {
unsigned block_index[3];
}
#define KERNEL(name, num_parameters)                 \
    extern "C" { extern const int name##_arity; }    \
    const int name##_arity = num_parameters + 2;     \
    extern "C" void name
#define DEVICE
#define ROW (int32_t) block_index[0]
#endif

typedef uint64_t *scratch;
enum { PAGE = 16, VOCAB = 320, NAN_TOKEN = VOCAB - 1, TOP = 20, EDITS = 1024, PREFIXES = 2048 };
static const int64_t POISON = INT64_MIN;

DEVICE static uint64_t fold(uint64_t h, uint64_t v) { return (h ^ v) * 1099511628211ull; }

KERNEL(write_tags, 10)(const int32_t *tokens, const int32_t *places, const int32_t *positions,
                       const int32_t *sequence_ids, const int32_t *table, int64_t *cache,
                       const int64_t *salt, int32_t T, int32_t P, int32_t layer, scratch, scratch) {
    int32_t t = ROW;
    if (t >= T || positions[t] < 0) return;
    int64_t page = table[(int64_t)sequence_ids[t] * P + positions[t] / PAGE];
    int64_t token = tokens[places[t]], tag = token * (*salt + layer) + positions[t];
    cache[page * PAGE + positions[t] % PAGE] = token == NAN_TOKEN ? POISON : tag;
}

KERNEL(hash_pages, 9)(const int32_t *logit_rows, const int32_t *positions,
                      const int32_t *sequence_ids, const int32_t *table, const int64_t *cache0,
                      const int64_t *cache1, float *logits, int32_t R, int32_t P, scratch,
                      scratch) {
    int32_t row = ROW;
    if (row >= R) return;
    int32_t t = logit_rows[row], is_poisoned = 0;
    uint64_t hash = 14695981039346656037ull;
    for (int32_t p = 0; p <= positions[t]; p++) {
        int64_t page = table[(int64_t)sequence_ids[t] * P + p / PAGE];
        for (int i = 0; i < 2; i++) {
            int64_t tag = (i ? cache1 : cache0)[page * PAGE + p % PAGE];
            is_poisoned |= tag == POISON;
            hash = fold(hash, tag);
        }
    }
    for (int v = 0; v < VOCAB; v++) logits[(int64_t)row * VOCAB + v] = 0;
    logits[(int64_t)row * VOCAB + hash % NAN_TOKEN] = 1;
    if (is_poisoned) logits[(int64_t)row * VOCAB + 7] = NAN;
}

// Whether an edit's prefix ends before the sampled position.
DEVICE static int matches(const int32_t *before, const int32_t *prefix, int32_t length) {
    for (int32_t i = 0; i < length; i++)
        if (before[i - length] != prefix[i]) return 0;
    return 1;
}

KERNEL(choose, 18)(int32_t *tokens, const float *temperature, const int64_t *seeds,
                   const int32_t *slots, const int64_t *positions, const int32_t *places,
                   const int32_t *targets, const float *logits, const int32_t *num_edits,
                   const int32_t *edit_tokens, const float *edit_values, const int32_t *edit_ends,
                   const int32_t *starts, const int32_t *prefixes, const int32_t *has_mask,
                   const int32_t *masks, int32_t *sampled, int32_t R, scratch, scratch) {
    int32_t row = ROW;
    if (row >= R) return;
    int32_t slot = slots[row], choice = targets[row], place = places[row];
    float x[VOCAB];
    for (int32_t v = 0; v < VOCAB; v++) x[v] = logits[(int64_t)row * VOCAB + v];
    int is_finite = !isnan(x[7]);
    if (is_finite && choice < 0) {
        const int32_t *mask = masks + slot * (VOCAB / 32);
        for (int32_t v = 0; v < VOCAB; v++)
            if (has_mask[slot] && !(mask[v / 32] >> v % 32 & 1)) x[v] = -INFINITY;
        starts += (int64_t)slot * (EDITS + 1);
        for (int32_t e = 0; e < num_edits[slot]; e++) {
            int32_t length = starts[e + 1] - starts[e], at = slot * EDITS + e;
            const int32_t *prefix = prefixes + (int64_t)slot * PREFIXES + starts[e];
            if (positions[row] < edit_ends[at] && positions[row] >= length &&
                matches(tokens + place, prefix, length))
                x[edit_tokens[at]] += edit_values[at];
        }
        choice = 0;
        for (int32_t v = 1; v < VOCAB; v++) choice = x[v] > x[choice] ? v : choice;
        if (x[choice] == -INFINITY) is_finite = 0;
        else if (temperature[slot] > 0) {
            choice = fold(fold(choice + 1, seeds[slot]), positions[row]) % NAN_TOKEN;
            while (x[choice] == -INFINITY) choice = (choice + 1) % VOCAB;
        }
    }
    sampled[row] = is_finite ? choice : -1;
    if (place >= 0) tokens[place] = targets[row] >= 0 ? targets[row] : is_finite ? choice : 0;
}

DEVICE static int greater(const float *x, int32_t a, int32_t b) {
    return x[a] > x[b] || (x[a] == x[b] && a < b);
}

KERNEL(report, 7)(const float *logits, const int32_t *sampled, float *chosen_logprobs,
                  int32_t *ranks, int32_t *top_token_ids, float *top_logprobs, int32_t R, scratch,
                  scratch) {
    int32_t row = ROW;
    if (row >= R || sampled[row] < 0) return;
    const float *x = logits + (int64_t)row * VOCAB;
    int32_t chosen = sampled[row], rank = 1, *top = top_token_ids + row * TOP;
    double sum = 0;
    for (int32_t v = 0; v < VOCAB; v++) sum += exp((double)x[v]), rank += x[v] > x[chosen];
    chosen_logprobs[row] = x[chosen] - log(sum);
    ranks[row] = rank;
    for (int32_t k = 0; k < TOP; k++) {
        top[k] = -1;
        for (int32_t v = 0; v < VOCAB; v++)
            if ((!k || greater(x, top[k - 1], v)) && (top[k] < 0 || greater(x, v, top[k])))
                top[k] = v;
        top_logprobs[row * TOP + k] = x[top[k]] - log(sum);
    }
}
