// The inner products every matrix kernel is made of: a few rows of x times blocks of 16 outputs.
//
// A block holds 16 rows of a weight, interleaved so that one register holds one k (or k pair) of
// all 16: f32 [K][16], bf16 [K/2][16][2] with K padded to even by a zero. K is cut at fixed places;
// each output lane adds the products of a cut in the order of k, in one f32 accumulator, and then
// the cut's sum to the total, whatever the tile: so a row of the result has the same bits for any
// number of rows, threads or chunks.
#pragma once
#include "vec.h"

namespace tapeout {

constexpr int MAX_TILE_ROWS = 12;

// What a tile keeps in registers, and how far it reads ahead; no bit of a result depends on it.
struct tile_choice {
    int rows;      // at most MAX_TILE_ROWS
    int blocks;    // at most; fewer where registers would not do
    int prefetch;  // cache lines ahead in each stream of weights; 0: none
};

// For kernels that hold no choices. A row alone keeps up with the memory by itself, and many rows
// read weights from the L2 cache.
inline tile_choice default_tile(i64 rows) {
    return {MAX_TILE_ROWS, rows == 1 ? 4 : 2, rows > 1 && rows <= 8 ? 16 : 0};
}

// How many elements of memory one block of 16 outputs takes.
inline i64 block_elements(const float *, i64 k) { return k * LANES; }
inline i64 block_elements(const bf16 *, i64 k) { return (k + 1) / 2 * 2 * LANES; }

// Where K is cut. A part of a panel (see matmul.h) stays in the L2 cache; and sums of f32 weights
// are short, since rounding errors grow with their length.
constexpr i64 k_per_cut(const float *) { return 64; }
constexpr i64 k_per_cut(const bf16 *) { return 1024; }

// acc[r][16 b + lane] += sum over k in [k_begin, k_end) of x[r][k] * w[b][k][lane];
// with k_begin == 0 acc is overwritten. k_begin must be even, and k_end too unless it is K.
// rows <= MAX_TILE_ROWS.
template <class X, class W>
void product_tile(int rows, int blocks, const X *const *x, const W *const *w, i64 k_begin,
                  i64 k_end, float *acc, i64 acc_stride, const tile_choice &choice);

extern template void product_tile(int, int, const float *const *, const float *const *, i64, i64,
                                  float *, i64, const tile_choice &);
extern template void product_tile(int, int, const float *const *, const bf16 *const *, i64, i64,
                                  float *, i64, const tile_choice &);
extern template void product_tile(int, int, const bf16 *const *, const float *const *, i64, i64,
                                  float *, i64, const tile_choice &);
extern template void product_tile(int, int, const bf16 *const *, const bf16 *const *, i64, i64,
                                  float *, i64, const tile_choice &);

}  // namespace tapeout
