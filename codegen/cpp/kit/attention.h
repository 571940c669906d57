// Attention over pages of keys and values, the same for decode and for chunks of a prompt.
//
//   out[t, h] = sum over keys j of softmax_j(softcap(scale * q[t, h] . k[j])) v[j]
//
// A page holds 16 tokens: keys [key_heads][head_dim][16] (bf16: [key_heads][head_dim / 2][16][2],
// as a packed weight), then values [key_heads][16][value_dim]. Softmax runs online over blocks of
// 64 keys at absolute positions, so a token's result has the same bits however its prompt was cut
// and whatever else is in the step.
#pragma once
#include "vec.h"

namespace tapeout {

constexpr i64 PAGE_TOKENS = 16;

struct attention_shape {
    i64 heads, key_heads, head_dim, value_dim;
    float scale, softcap;  // softcap 0: none
    i64 window;            // a token sees this many positions, itself included; 0: all
};

template <class X> struct attention_step {
    const X *q;                // [T, heads, head_dim], q_stride elements from token to token
    const X *cache;            // one layer's pages
    const i32 *positions;      // [T]
    const i32 *query_start;    // [S + 1]
    const i32 *block_table;    // [S, table_width]
    const float *sinks;        // [heads] or null
    X *out;                    // [T, heads, value_dim]
    i64 q_stride, sequences, table_width;
};

inline i64 page_elements(i64 key_heads, i64 head_dim, i64 value_dim) {
    return PAGE_TOKENS * key_heads * (head_dim + value_dim);
}

// Where element d of a token's key lies, from the start of its head's keys in the page.
inline i64 key_place(const float *, i64 d, i64 token) { return d * PAGE_TOKENS + token; }
inline i64 key_place(const bf16 *, i64 d, i64 token) {
    return (d / 2 * PAGE_TOKENS + token) * 2 + d % 2;
}

// Sinks as floats, whatever they are stored as.
template <class X> inline void copy_sinks(const X *sinks, float *to, i64 heads) {
    for (i64 h = 0; h < heads; h++) to[h] = load_one(sinks + h);
}

template <class X>
void paged_attention(const attention_shape &shape, const attention_step<X> &step, i64 *ticket);

extern template void paged_attention(const attention_shape &, const attention_step<float> &, i64 *);
extern template void paged_attention(const attention_shape &, const attention_step<bf16> &, i64 *);

}  // namespace tapeout
