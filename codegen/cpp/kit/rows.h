// Helpers of the row kernels: loops over the columns of a row, sixteen at a time.
#pragma once
#include "attention.h"
#include "functions.h"
#include "product.h"

namespace tapeout {

// How many lanes of a vector count; known when compiled, so whole vectors need no mask.
template <int N> struct lanes_t {
    constexpr operator int() const { return N; }
};

// Calls body(column, lanes) for the columns [LOW, HIGH) in order.
template <i64 LOW, i64 HIGH, class Body> inline void columns(Body body) {
    constexpr i64 WHOLE = (HIGH - LOW) / LANES * LANES;
    constexpr int REST = (int)(HIGH - LOW - WHOLE);
    for (i64 c = LOW; c < LOW + WHOLE; c += LANES) body(c, lanes_t<LANES>());
    if constexpr (REST > 0) body(LOW + WHOLE, lanes_t<REST>());
}

// The same, one column at a time: for places that are not consecutive in memory.
template <i64 LOW, i64 HIGH, class Body> inline void single_columns(Body body) {
    for (i64 c = LOW; c < HIGH; c++) body(c, lanes_t<1>());
}

// Lanes from n on become `neutral`, so that they don't count in a reduction.
inline vf first_or(vf a, int n, float neutral) {
    return n == LANES ? a : select(first_lanes(n), a, vf(neutral));
}

inline float first(vf a) {
    float lanes[LANES];
    store(lanes, a);
    return lanes[0];
}
inline i64 clamp(i64 a, i64 low, i64 high) { return min_of(max_of(a, low), high); }

// Calls body(row) for the rows of a launch, shared out in small runs.
template <class Body> inline void each_row(i64 rows, i64 *ticket, int num_workers, Body body) {
    const i64 run = ceil_div(rows, 8 * num_workers);
    for (i64 unit; (unit = next_unit(ticket)) * run < rows;)
        for (i64 row = unit * run; row < min_of(rows, (unit + 1) * run); row++) body(row);
}

// Which element a rotated one is paired with, and by which angle both turn.
struct rope_pair {
    i64 other, angle;
    float sin_sign;  // 0: the element passes
    vf turn(vf x, vf crossed, vf cos, vf sin) const {
        return sin_sign == 0.0f ? x : x * cos + vf(sin_sign) * (crossed * sin);
    }
};
inline rope_pair half_pair(i64 column, i64 half) {
    if (column >= 2 * half) return {column, 0, 0.0f};
    if (column >= half) return {column - half, column - half, 1.0f};
    return {column + half, column, -1.0f};
}
inline rope_pair interleaved_pair(i64 column, i64 half) {
    if (column >= 2 * half) return {column, 0, 0.0f};
    return {column ^ 1, column / 2, column % 2 ? 1.0f : -1.0f};
}

// Elements k .. k + n of row `row` of a packed weight of K columns.
template <class W> inline vf load_row(const W *w, i64 K, i64 row, i64 k, int n) {
    const W *block = w + row / LANES * block_elements(w, K);
    alignas(64) W lanes[LANES] = {};
    for (int i = 0; i < n; i++) lanes[i] = block[key_place(w, k + i, row % LANES)];
    return load(lanes, LANES);
}

// The k largest of n values in falling order, ties by the lower place; NaN counts as the largest.
inline void top(const float *values, i64 n, i64 k, float *best, i32 *places) {
    for (i64 j = 0; j < k; j++) {
        i64 winner = -1;
        for (i64 i = 0; i < n; i++) {
            bool taken = false;
            for (i64 other = 0; other < j; other++) taken |= places[other] == i;
            if (taken) continue;
            const bool larger = winner >= 0 && (values[i] > values[winner] ||
                                                (values[i] != values[i] &&
                                                 values[winner] == values[winner]));
            if (winner < 0 || larger) winner = i;
        }
        best[j] = values[winner];
        places[j] = (i32)winner;
    }
}

// Where a token's keys and values go; one per row of a region that writes the cache.
template <class X> struct cache_place {
    X *page;
    i64 slot, key_heads, head_dim, value_dim;
    cache_place(X *cache, const i32 *table, i64 position, i64 hk, i64 d, i64 dv)
        : page(cache + table[position / PAGE_TOKENS] * page_elements(hk, d, dv)),
          slot(position % PAGE_TOKENS), key_heads(hk), head_dim(d), value_dim(dv) {}
    void store_key(i64 head, i64 d, vf value, int n) const {
        X *keys = page + head * head_dim * PAGE_TOKENS;
        alignas(64) X lanes[LANES];
        store(lanes, value, LANES);
        for (int i = 0; i < n; i++) keys[key_place(keys, d + i, slot)] = lanes[i];
    }
    void store_value(i64 head, i64 d, vf value, int n) const {
        X *values = page + PAGE_TOKENS * (key_heads * head_dim + head * value_dim);
        store(values + slot * value_dim + d, value, n);
    }
};

}  // namespace tapeout
