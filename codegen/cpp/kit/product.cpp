// Register tiles of the inner products; compiled once for each instruction-set level.
#include "product.h"

#include <string.h>

namespace tapeout {
namespace {

// One step of k for a pair of types: what is loaded of w, what of x, and how they meet.
template <class X, class W> struct step;

template <class X> struct step<X, float> {
    static constexpr int K = 1;
    using weight = vf;
    using input = vf;
    static weight load_weight(const float *w) { return load(w); }
    static input load_input(const X *x, bool) { return vf(load_one(x)); }
    static vf add(vf acc, weight w, input x) { return fma(w, x, acc); }
};

template <class X> struct fma_pair {
    static constexpr int K = 2;
    struct weight {
        vf even, odd;
    };
    struct input {
        vf even, odd;
    };
    static weight load_weight(const bf16 *w) {
        const vi pairs = load_int(w);
        return {from_bits(shift_left<16>(pairs)), from_bits(pairs & vi((int)0xffff0000))};
    }
    static input load_input(const X *x, bool whole) {
        return {vf(load_one(x)), whole ? vf(load_one(x + 1)) : vf(0.0f)};
    }
    static vf add(vf acc, weight w, input x) {
        return fma(w.odd, x.odd, fma(w.even, x.even, acc));
    }
};

template <> struct step<float, bf16> : fma_pair<float> {};

#ifdef __AVX512BF16__
template <> struct step<bf16, bf16> {
    static constexpr int K = 2;
    using weight = __m512bh;
    using input = __m512bh;
    static weight load_weight(const bf16 *w) { return (__m512bh)_mm512_loadu_si512(w); }
    static input load_input(const bf16 *x, bool whole) {
        int pair = x->bits;
        if (whole) memcpy(&pair, x, 4);
        return (__m512bh)_mm512_set1_epi32(pair);
    }
    static vf add(vf acc, weight w, input x) { return _mm512_dpbf16_ps(acc.v, w, x); }
};
#else
template <> struct step<bf16, bf16> : fma_pair<bf16> {};
#endif

template <class X, class W, int ROWS, int BLOCKS, bool PREFETCHES>
void tile(const X *const *x, const W *const *w, i64 k_begin, i64 k_end, float *acc, i64 acc_stride,
          int prefetch) {
    using S = step<X, W>;
    vf sum[ROWS][BLOCKS];
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int b = 0; b < BLOCKS; b++)
            sum[r][b] = vf(0.0f);
    const X *rows[ROWS];
    UNROLL for (int r = 0; r < ROWS; r++) rows[r] = x[r];
    const W *blocks[BLOCKS];
    UNROLL for (int b = 0; b < BLOCKS; b++) blocks[b] = w[b];
    const auto advance = [&](i64 k, bool whole) __attribute__((always_inline)) {
        typename S::weight weights[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            const W *at = blocks[b] + k * LANES;
            weights[b] = S::load_weight(at);
            if (PREFETCHES) __builtin_prefetch(at + prefetch * S::K * LANES);
        }
        UNROLL for (int r = 0; r < ROWS; r++) {
            const typename S::input input = S::load_input(rows[r] + k, whole);
            UNROLL for (int b = 0; b < BLOCKS; b++)
                sum[r][b] = S::add(sum[r][b], weights[b], input);
        }
    };
    i64 k = k_begin;
    for (; k + S::K <= k_end; k += S::K) advance(k, true);
    if (k < k_end) advance(k, false);
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            float *at = acc + r * acc_stride + b * LANES;
            store(at, k_begin ? load(at) + sum[r][b] : sum[r][b]);
        }
}

// Whether the sums of a tile, the weights they meet and an input stay in registers.
#ifdef __AVX512F__
constexpr int REGISTERS = 32, MAX_TILE_BLOCKS = 8;
#else
constexpr int REGISTERS = 8, MAX_TILE_BLOCKS = 2;
#endif
constexpr bool fits(int rows, int blocks) {
    return blocks == 1 || (rows + 1) * blocks + 1 <= REGISTERS;
}

template <class X, class W, int ROWS, int BLOCKS>
void tiles(int blocks, const X *const *x, const W *const *w, i64 k_begin, i64 k_end, float *acc,
           i64 acc_stride, const tile_choice &choice) {
    if constexpr (fits(ROWS, BLOCKS)) {
        const auto run = choice.prefetch ? tile<X, W, ROWS, BLOCKS, true>
                                         : tile<X, W, ROWS, BLOCKS, false>;
        if (BLOCKS <= choice.blocks)
            for (; blocks >= BLOCKS; blocks -= BLOCKS, w += BLOCKS, acc += BLOCKS * LANES)
                run(x, w, k_begin, k_end, acc, acc_stride, choice.prefetch);
    }
    if constexpr (BLOCKS > 1)
        tiles<X, W, ROWS, BLOCKS / 2>(blocks, x, w, k_begin, k_end, acc, acc_stride, choice);
}

template <class X, class W, int ROWS>
void dispatch(int rows, int blocks, const X *const *x, const W *const *w, i64 k_begin, i64 k_end,
              float *acc, i64 acc_stride, const tile_choice &choice) {
    if (rows == ROWS)
        tiles<X, W, ROWS, MAX_TILE_BLOCKS>(blocks, x, w, k_begin, k_end, acc, acc_stride, choice);
    else if constexpr (ROWS > 1)
        dispatch<X, W, ROWS - 1>(rows, blocks, x, w, k_begin, k_end, acc, acc_stride, choice);
}

}  // namespace

template <class X, class W>
void product_tile(int rows, int blocks, const X *const *x, const W *const *w, i64 k_begin,
                  i64 k_end, float *acc, i64 acc_stride, const tile_choice &choice) {
    dispatch<X, W, MAX_TILE_ROWS>(rows, blocks, x, w, k_begin, k_end, acc, acc_stride, choice);
}

template void product_tile(int, int, const float *const *, const float *const *, i64, i64, float *,
                           i64, const tile_choice &);
template void product_tile(int, int, const float *const *, const bf16 *const *, i64, i64, float *,
                           i64, const tile_choice &);
template void product_tile(int, int, const bf16 *const *, const float *const *, i64, i64, float *,
                           i64, const tile_choice &);
template void product_tile(int, int, const bf16 *const *, const bf16 *const *, i64, i64, float *,
                           i64, const tile_choice &);

}  // namespace tapeout
