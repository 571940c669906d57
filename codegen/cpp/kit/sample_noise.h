// Gumbel noise of Philox4x32-10, keyed by (seed, position) and counted by the places of a stream.
#pragma once
#include "functions.h"

namespace tapeout {

constexpr int COUNTERS = LANES;  // Philox counters at a time, four words each
constexpr i64 PLACES = 4 * COUNTERS;
constexpr uint32_t OF_PLACES = 0, OF_SPANS = 1;  // the streams

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
    void draw(i64 first_counter, i64 position, i64 seed, uint32_t stream) {
        for (int i = 0; i < COUNTERS; i++) {
            words[0][i] = (uint32_t)(first_counter + i);
            words[1][i] = (uint32_t)position;
            words[2][i] = (uint32_t)(position >> 32);
            words[3][i] = stream;
        }
        uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
        for (int r = 0; r < 10; r++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) round(key0, key1);
    }
};

// -log(-log(u)) for the places first .. first + 63.
inline void gumbel(i64 first, i64 position, i64 seed, uint32_t stream, float *noise) {
    philox random;
    random.draw(first / 4, position, seed, stream);
    for (int i = 0; i < PLACES; i++) noise[i] = (float)random.words[i % 4][i / 4];
    for (int i = 0; i < PLACES; i += LANES) {
        const vf u = (load(noise + i) + vf(0.5f)) * vf(0x1p-32f);
        store(noise + i, -log(-log(min(u, vf(1.0f - 0x1p-24f)))));
    }
}

}  // namespace tapeout
