// A mixture of experts: every (token, choice) pair goes through its expert's two products.
//
// Pairs are sorted by expert, so that an expert's weights are read once for all its tokens; each
// pair's values are computed by the same sums whatever the others are, and each token adds its
// pairs in the order of its choices.
#pragma once
#include "linear.h"

namespace tapeout {

// begin[e] .. begin[e + 1]: where expert e's pairs are in order[]; order[] holds pair numbers.
inline void sort_pairs(const i32 *indices, i64 pairs, i64 experts, i32 *begin, i32 *order) {
    for (i64 e = 0; e <= experts; e++) begin[e] = 0;
    for (i64 p = 0; p < pairs; p++) begin[indices[p] + 1]++;
    for (i64 e = 0; e < experts; e++) begin[e + 1] += begin[e];
    for (i64 p = 0; p < pairs; p++) order[begin[indices[p]]++] = (i32)p;
    for (i64 e = experts; e > 0; e--) begin[e] = begin[e - 1];
    begin[0] = 0;
}

// One product of every expert's rows by PARTS packed weights [E][PARTS][blocks of N outputs].
// row_of(place) gives the row of x of a sorted place; epilogue(place, expert, column, sums, span,
// lanes) takes the sums of sixteen outputs, those of part i at sums + i * span.
template <class X, i64 N, int PARTS, class W, class RowOf, class Epilogue>
inline void expert_matmul(const i32 *begin, i64 experts, i64 k, const W *w, i64 *ticket,
                          RowOf row_of, Epilogue epilogue) {
    constexpr i64 BLOCKS = ceil_div(N, LANES), PANEL = 4, PANELS = ceil_div(BLOCKS, PANEL);
    constexpr i64 STRIDE = PANEL_BLOCKS * LANES, SPAN = ROWS_PER_UNIT * STRIDE;
    alignas(64) float acc[PARTS * SPAN];
    const X *x[ROWS_PER_UNIT];
    const i64 block_size = block_elements(w, k);
    i64 expert = 0, first_unit = 0;
    for (i64 unit = next_unit(ticket); expert < experts;) {
        const i64 chunks = ceil_div(begin[expert + 1] - begin[expert], ROWS_PER_UNIT);
        if (unit >= first_unit + PANELS * chunks) {
            first_unit += PANELS * chunks;
            expert++;
            continue;
        }
        const i64 first_block = (unit - first_unit) / chunks * PANEL;
        const i64 first_row = begin[expert] + (unit - first_unit) % chunks * ROWS_PER_UNIT;
        const i64 rows = min_of(begin[expert + 1] - first_row, ROWS_PER_UNIT);
        const i64 blocks = min_of(BLOCKS - first_block, PANEL);
        for (i64 r = 0; r < rows; r++) x[r] = row_of(first_row + r);
        for (int part = 0; part < PARTS; part++)
            product_unit(rows, (int)blocks, x,
                         w + ((expert * PARTS + part) * BLOCKS + first_block) * block_size, k,
                         acc + part * SPAN, default_tile(rows));
        for (i64 r = 0; r < rows; r++)
            for (i64 b = 0; b < blocks; b++) {
                const float *sums = acc + r * STRIDE + b * LANES;
                const i64 column = (first_block + b) * LANES;
                if (column + LANES <= N)
                    epilogue(first_row + r, expert, column, sums, SPAN, lanes_t<LANES>());
                else if constexpr (N % LANES > 0)
                    epilogue(first_row + r, expert, column, sums, SPAN, lanes_t<N % LANES>());
            }
        unit = next_unit(ticket);
    }
}

// out[t] = the sum over a token's k choices, in their order, of weight * result of the pair.
template <i64 N, class X, class S>
inline void sum_choices(const float *results, const S *weights, i64 t, i64 k, X *out) {
    columns<0, N>([&](i64 c, auto n) {
        vf total(0.0f);
        for (i64 j = 0; j < k; j++)
            total = fma(vf(load_one(weights + t * k + j)),
                        load(results + (t * k + j) * N + c, n), total);
        store(out + t * N + c, total, n);
    });
}

}  // namespace tapeout
