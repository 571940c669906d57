// Online softmax over blocks of 64 keys for a tile of query rows that share a key head.
#include "attention.h"

#include "functions.h"
#include "product.h"

namespace tapeout {
namespace {

constexpr int TILE_ROWS = 48;  // rows are (token, head of the group) pairs, tokens outermost
constexpr int BLOCK_PAGES = 4;
constexpr i64 BLOCK_KEYS = BLOCK_PAGES * PAGE_TOKENS;

#ifdef __AVX512F__
constexpr int VALUE_ROWS = 4, VALUE_BLOCKS = 4;
#else
constexpr int VALUE_ROWS = 4, VALUE_BLOCKS = 1;
#endif

// The state of a tile: all that online softmax carries from one block of keys to the next.
struct tile_state {
    alignas(64) float sums[TILE_ROWS][LANES];      // of exp(score - top), lane by lane
    alignas(64) float scores[TILE_ROWS][BLOCK_KEYS];
    float *out;  // [row][padded value_dim], 64-byte aligned
    float top[TILE_ROWS], decay[TILE_ROWS];
};

inline i64 padded(i64 dim) { return ceil_div(dim, LANES) * LANES; }

template <class X> struct tile {
    const attention_shape &shape;
    const attention_step<X> &step;
    i64 sequence, head, first_row, rows;  // rows of (token, head of the group)

    i64 group() const { return shape.heads / shape.key_heads; }
    i64 token(i64 row) const { return step.query_start[sequence] + (first_row + row) / group(); }
    i64 head_of(i64 row) const { return head * group() + (first_row + row) % group(); }
    i64 position(i64 row) const { return step.positions[token(row)]; }
    i64 first_seen(i64 row) const {
        return shape.window ? max_of(0, position(row) - shape.window + 1) : 0;
    }
    i64 out_stride() const { return padded(shape.value_dim); }
    const X *page(i64 key) const {
        const i64 id = step.block_table[sequence * step.table_width + key / PAGE_TOKENS];
        return step.cache + id * page_elements(shape.key_heads, shape.head_dim, shape.value_dim);
    }
    const X *keys(i64 key) const { return page(key) + head * shape.head_dim * PAGE_TOKENS; }
    const X *values(i64 key) const {
        const i64 before = shape.key_heads * shape.head_dim + head * shape.value_dim;
        return page(key) + PAGE_TOKENS * before;
    }
};

template <class X> void start(const tile<X> &t, tile_state &state) {
    const i64 stride = t.out_stride();
    for (i64 r = 0; r < t.rows; r++) {
        const float *sinks = t.step.sinks;
        state.top[r] = sinks ? sinks[t.head_of(r)] : -INFINITY;
        store(state.sums[r], vf(0.0f));
        state.sums[r][0] = sinks ? 1.0f : 0.0f;
        for (i64 d = 0; d < stride; d += LANES) store(state.out + r * stride + d, vf(0.0f));
    }
}

template <class X> void score(const tile<X> &t, i64 block, int pages, tile_state &state) {
    const X *q[TILE_ROWS], *keys[BLOCK_PAGES];
    for (int p = 0; p < pages; p++) keys[p] = t.keys(block + p * PAGE_TOKENS);
    for (i64 r = 0; r < t.rows; r++)
        q[r] = t.step.q + t.token(r) * t.step.q_stride + t.head_of(r) * t.shape.head_dim;
    for (i64 r = 0; r < t.rows; r += MAX_TILE_ROWS)
        product_tile((int)min_of(MAX_TILE_ROWS, t.rows - r), pages, q + r, keys, 0,
                     t.shape.head_dim, state.scores[r], BLOCK_KEYS, default_tile(t.rows - r));
}

// Which lanes of the page from `key` on lie in [first, last].
inline vm seen(i64 key, i64 first, i64 last) {
    const i64 low = min_of(max_of(first - key, 0), LANES);
    const i64 high = min_of(max_of(last + 1 - key, 0), LANES);
    return first_lanes((int)high) & !first_lanes((int)low);
}

// Turns a row's scores into exp(score - top); earlier sums shrink by decay.
template <class X>
void soften(const tile<X> &t, i64 block, int pages, i64 row, tile_state &state) {
    const i64 first = t.first_seen(row), last = t.position(row);
    float *scores = state.scores[row];
    vf highest(-INFINITY);
    for (int p = 0; p < pages; p++) {
        vf s = load(scores + p * LANES) * vf(t.shape.scale);
        if (t.shape.softcap != 0.0f)
            s = tanh(s / vf(t.shape.softcap)) * vf(t.shape.softcap);
        s = select(seen(block + p * PAGE_TOKENS, first, last), s, vf(-INFINITY));
        highest = max(highest, s);
        store(scores + p * LANES, s);
    }
    const float old_top = state.top[row], block_top = reduce_max(highest);
    const float top = block_top > old_top ? block_top : old_top;
    const float base = top == -INFINITY ? 0.0f : top;
    alignas(64) float decay[LANES];
    store(decay, exp(vf(old_top - base)));
    vf sums = load(state.sums[row]) * vf(decay[0]);
    for (int p = 0; p < pages; p++) {
        const vf e = exp(load(scores + p * LANES) - vf(base));
        sums = sums + e;
        store(scores + p * LANES, e);
    }
    store(state.sums[row], sums);
    state.top[row] = top;
    state.decay[row] = decay[0];
}

// out[r][d] = out[r][d] * decay[r] + sum over keys of scores[r][key] * value[key][d].
template <class X, int ROWS, int BLOCKS, bool WHOLE>
void add_values(const X *const *values, i64 keys, i64 value_dim, const float *decay,
                const float *scores, float *out, i64 out_stride, int lanes) {
    vf sum[ROWS][BLOCKS];
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int b = 0; b < BLOCKS; b++)
            sum[r][b] = load(out + r * out_stride + b * LANES) * vf(decay[r]);
    for (i64 key = 0; key < keys; key++) {
        const X *value = values[key / PAGE_TOKENS] + key % PAGE_TOKENS * value_dim;
        vf v[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++)
            v[b] = load(value + b * LANES, WHOLE ? LANES : lanes);
        UNROLL for (int r = 0; r < ROWS; r++) {
            const vf weight(scores[r * BLOCK_KEYS + key]);
            UNROLL for (int b = 0; b < BLOCKS; b++) sum[r][b] = fma(weight, v[b], sum[r][b]);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int b = 0; b < BLOCKS; b++) store(out + r * out_stride + b * LANES, sum[r][b]);
}

template <class X, int ROWS>
void add_row_values(const tile<X> &t, const X *const *pages, i64 keys, i64 row,
                    tile_state &state) {
    const i64 dim = t.shape.value_dim, stride = t.out_stride();
    const float *decay = state.decay + row, *scores = state.scores[row];
    float *out = state.out + row * stride;
    const X *values[BLOCK_PAGES];
    for (i64 d = 0; d < dim;) {
        for (int p = 0; p < BLOCK_PAGES; p++) values[p] = pages[p] ? pages[p] + d : nullptr;
        if (dim - d >= VALUE_BLOCKS * LANES) {
            add_values<X, ROWS, VALUE_BLOCKS, true>(values, keys, dim, decay, scores, out + d,
                                                    stride, LANES);
            d += VALUE_BLOCKS * LANES;
        } else {
            const int lanes = (int)min_of(LANES, dim - d);
            if (lanes == LANES)
                add_values<X, ROWS, 1, true>(values, keys, dim, decay, scores, out + d, stride,
                                             lanes);
            else
                add_values<X, ROWS, 1, false>(values, keys, dim, decay, scores, out + d, stride,
                                              lanes);
            d += LANES;
        }
    }
}

template <class X>
void weigh_values(const tile<X> &t, i64 block, i64 keys, tile_state &state) {
    const X *pages[BLOCK_PAGES] = {};
    for (i64 key = 0; key < keys; key += PAGE_TOKENS)
        pages[key / PAGE_TOKENS] = t.values(block + key);
    i64 row = 0;
    for (; row + VALUE_ROWS <= t.rows; row += VALUE_ROWS)
        add_row_values<X, VALUE_ROWS>(t, pages, keys, row, state);
    for (; row < t.rows; row++) add_row_values<X, 1>(t, pages, keys, row, state);
}

template <class X> void finish(const tile<X> &t, tile_state &state) {
    const i64 dim = t.shape.value_dim, stride = t.out_stride();
    for (i64 r = 0; r < t.rows; r++) {
        const vf total(reduce_sum(load(state.sums[r])));
        X *out = t.step.out + (t.token(r) * t.shape.heads + t.head_of(r)) * dim;
        for (i64 d = 0; d < dim; d += LANES)
            store(out + d, load(state.out + r * stride + d) / total,
                  (int)min_of(LANES, dim - d));
    }
}

template <class X> void run(const tile<X> &t, tile_state &state) {
    const i64 end = t.position(t.rows - 1) + 1;
    const i64 begin = t.first_seen(0) / BLOCK_KEYS * BLOCK_KEYS;
    start(t, state);
    for (i64 block = begin; block < end; block += BLOCK_KEYS) {
        const i64 keys = min_of(BLOCK_KEYS, end - block);
        const int pages = (int)ceil_div(keys, PAGE_TOKENS);
        score(t, block, pages, state);
        for (i64 r = 0; r < t.rows; r++) soften(t, block, pages, r, state);
        weigh_values(t, block, keys, state);
    }
    finish(t, state);
}

}  // namespace

template <class X>
void paged_attention(const attention_shape &shape, const attention_step<X> &step, i64 *ticket) {
    tile_state state;
    const i64 out_bytes = TILE_ROWS * padded(shape.value_dim) * sizeof(float);
    state.out = (float *)__builtin_alloca_with_align(out_bytes, 8 * 64);  // of the stack, in bits
    const i64 group = shape.heads / shape.key_heads;
    i64 sequence = 0, first_unit = 0;
    for (i64 unit = next_unit(ticket); sequence < step.sequences;) {
        const i64 rows = (step.query_start[sequence + 1] - step.query_start[sequence]) * group;
        const i64 tiles = ceil_div(rows, TILE_ROWS);
        if (unit >= first_unit + tiles * shape.key_heads) {
            first_unit += tiles * shape.key_heads;
            sequence++;
            continue;
        }
        // Later tiles see more keys: they go first, so that no long one is left for the end.
        const i64 place = unit - first_unit;
        const i64 first_row = (tiles - 1 - place / shape.key_heads) * TILE_ROWS;
        run(tile<X>{shape, step, sequence, place % shape.key_heads, first_row,
                    min_of(TILE_ROWS, rows - first_row)},
            state);
        unit = next_unit(ticket);
    }
}

template void paged_attention(const attention_shape &, const attention_step<float> &, i64 *);
template void paged_attention(const attention_shape &, const attention_step<bf16> &, i64 *);

}  // namespace tapeout
