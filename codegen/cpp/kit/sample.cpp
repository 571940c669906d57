// Sampling; see sample.h.
#include "sample.h"

#include "functions.h"

namespace tapeout {
namespace {

constexpr int COUNTERS = LANES;         // Philox counters at a time, four words each
constexpr i64 PLACES = 4 * COUNTERS;

// Ten rounds on sixteen counters side by side (Salmon et al., SC 2011).
struct philox {
    uint32_t words[4][COUNTERS];

    void round(uint32_t key0, uint32_t key1) {
        for (int i = 0; i < COUNTERS; i++) {
            const uint64_t low = (uint64_t)0xD2511F53u * words[0][i];
            const uint64_t high = (uint64_t)0xCD9E8D57u * words[2][i];
            words[0][i] = (uint32_t)(high >> 32) ^ words[1][i] ^ key0;
            words[2][i] = (uint32_t)(low >> 32) ^ words[3][i] ^ key1;
            words[1][i] = (uint32_t)high;
            words[3][i] = (uint32_t)low;
        }
    }
    void draw(i64 first_counter, i64 position, i64 seed) {
        for (int i = 0; i < COUNTERS; i++) {
            words[0][i] = (uint32_t)(first_counter + i);
            words[1][i] = (uint32_t)position;
            words[2][i] = (uint32_t)(position >> 32);
            words[3][i] = 0;
        }
        uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
        for (int r = 0; r < 10; r++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) round(key0, key1);
    }
};

// -log(-log(u)) for the places first .. first + 63.
void gumbel(i64 first, i64 position, i64 seed, float *noise) {
    philox random;
    random.draw(first / 4, position, seed);
    for (int i = 0; i < PLACES; i++) noise[i] = (float)random.words[i % 4][i / 4];
    for (int i = 0; i < PLACES; i += LANES) {
        const vf u = (load(noise + i) + vf(0.5f)) * vf(0x1p-32f);
        store(noise + i, -log(-log(min(u, vf(1.0f - 0x1p-24f)))));
    }
}

struct winner {
    float score = -INFINITY;
    i64 place = -1;
    bool broken = false;

    void see(vf scores, i64 first, int n) {
        scores = select(first_lanes(n), scores, vf(-INFINITY));
        broken |= mask_bits(is_nan(scores)) != 0;
        if (!mask_bits(scores > vf(score))) return;
        score = reduce_max(scores);
        place = first + __builtin_ctz(mask_bits(scores == vf(score)));
    }
};

i32 sample_row(const sample_step &step, i64 row) {
    const float *logits = step.logits + row * step.vocabulary;
    const float temperature = step.temperature[row];
    winner best;
    alignas(64) float noise[PLACES] = {};
    for (i64 first = 0; first < step.vocabulary; first += PLACES) {
        if (temperature > 0.0f) gumbel(first, step.positions[row], step.seeds[row], noise);
        for (i64 v = first; v < min_of(first + PLACES, step.vocabulary); v += LANES) {
            const int n = (int)min_of(LANES, step.vocabulary - v);
            vf scores = load(logits + v, n);
            if (temperature > 0.0f) scores = scores / vf(temperature) + load(noise + (v - first));
            best.see(scores, v, n);
        }
    }
    return best.broken ? -1 : (i32)best.place;
}

}  // namespace

void sample(const sample_step &step, i64 *ticket) {
    for (i64 row; (row = next_unit(ticket)) < step.rows;) step.tokens[row] = sample_row(step, row);
}

}  // namespace tapeout
