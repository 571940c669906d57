// y[t, n] = epilogue(sum over k of x[t, k] * w[n, k]) for packed w: the driver of every product.
//
// Work is shared in units of a panel of outputs by a chunk of rows. Inside a unit k is cut so that
// a panel's part stays in the L2 cache while the rows pass over it; totals wait in f32.
#pragma once
#include "product.h"

namespace tapeout {

constexpr int PANEL_BLOCKS = 8;       // at most: 128 outputs
constexpr i64 ROWS_PER_UNIT = 96;     // at most: times 128 sums of 4 bytes: 48 KiB on the stack
constexpr i64 UNITS_PER_WORKER = 16;  // that smaller panels are to give

// How launches of up to `max_rows` rows are cut at a level; no bit of a result depends on it.
constexpr i64 ANY_ROWS = INT64_MAX;
struct product_choice {
    int level;
    i64 max_rows, unit_blocks, unit_rows;  // at least, at most: of a unit
    tile_choice tile;
};

// The first that is for the level and for so many rows; the last is for any.
template <int N>
inline const product_choice &choice_of(const product_choice (&choices)[N], i64 rows) {
    int i = 0;
    while (rows > choices[i].max_rows || (choices[i].level && choices[i].level != LEVEL)) i++;
    return choices[i];
}

// How the outputs and rows of one product are cut into units.
struct product_units {
    i64 panels, chunks, panel_blocks;
    i64 count() const { return panels * chunks; }
};

// Panels are halved until there are enough for all workers, or as small as the choice allows.
inline product_units cut_product(i64 rows, i64 blocks, int num_workers,
                                 const product_choice &choice) {
    i64 size = PANEL_BLOCKS;
    if (num_workers > 1)
        while (size > choice.unit_blocks && blocks < UNITS_PER_WORKER * size * num_workers)
            size /= 2;
    return {ceil_div(blocks, size), ceil_div(rows, choice.unit_rows), size};
}

// acc[r][16 b + lane] = the product of `rows` rows with `blocks` blocks from w on.
template <class X, class W>
void product_unit(i64 rows, int blocks, const X *const *x, const W *w, i64 k, float *acc,
                  const tile_choice &choice) {
    const i64 acc_stride = PANEL_BLOCKS * LANES;
    const W *block[PANEL_BLOCKS];
    for (int b = 0; b < blocks; b++) block[b] = w + b * block_elements(w, k);
    const i64 tiles = ceil_div(rows, choice.rows);
    for (i64 k_begin = 0; k_begin < k; k_begin += k_per_cut(w)) {
        const i64 k_end = min_of(k, k_begin + k_per_cut(w));
        for (i64 tile = 0; tile < tiles; tile++) {
            const i64 begin = rows * tile / tiles, end = rows * (tile + 1) / tiles;
            product_tile((int)(end - begin), blocks, x + begin, block, k_begin, k_end,
                         acc + begin * acc_stride, acc_stride, choice);
        }
    }
}

// Calls epilogue(row, block, sums, span) for each row of x and each block of 16 outputs; the 16 sums
// of the block with weight i of w (a gate and an up, say, of one shape) are at sums + i * span.
template <class X, class RowOf, class Epilogue, class... W>
void matmul(i64 rows, i64 blocks, i64 k, i64 *ticket, int num_workers,
            const product_choice &choice, RowOf row_of, Epilogue epilogue, const W *...w) {
    constexpr i64 STRIDE = PANEL_BLOCKS * LANES;
    constexpr i64 SPAN = ROWS_PER_UNIT * STRIDE;
    const product_units units = cut_product(rows, blocks, num_workers, choice);
    alignas(64) float acc[sizeof...(W) * SPAN];
    const X *x[ROWS_PER_UNIT];
    for (i64 unit; (unit = next_unit(ticket)) < units.count();) {
        const i64 panel = unit / units.chunks, chunk = unit % units.chunks;
        const i64 first_row = chunk * choice.unit_rows, first_block = panel * units.panel_blocks;
        const i64 unit_rows = min_of(rows - first_row, choice.unit_rows);
        const i64 unit_blocks = min_of(blocks - first_block, units.panel_blocks);
        for (i64 r = 0; r < unit_rows; r++) x[r] = row_of(first_row + r);
        int part = 0;
        (product_unit(unit_rows, (int)unit_blocks, x, w + first_block * block_elements(w, k), k,
                      acc + SPAN * part++, choice.tile),
         ...);
        for (i64 r = 0; r < unit_rows; r++)
            for (i64 b = 0; b < unit_blocks; b++) {
                const float *sums = acc + r * STRIDE + b * LANES;
                epilogue(first_row + r, first_block + b, sums, SPAN);
            }
    }
}

}  // namespace tapeout
