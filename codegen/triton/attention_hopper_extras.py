"""Gluon of prefill attention for Hopper that not all models have: windows, bounded scores, sinks,
and a loop without masks."""

SEEN = "keys[None, :] <= positions[:, None]"
SEEN_IN_WINDOW = "(positions[:, None] - keys[None, :]).to(gl.uint32) < {window}"
"""How far back a key is: of one that comes after the query more than any window, without a sign."""

SKIP = """\
        begin = gl.maximum(context + query + 1 - {window}, 0)
        context -= begin // BLOCK * BLOCK  # blocks that no query sees are as if they were not there
        p_pages += begin // BLOCK * (BLOCK // PAGE)
        begin %= BLOCK
"""
"""Before the first block, of which keys from ``begin`` on are seen."""

CLEAR = """\
    if begin > 0:
        mbarrier.wait(ready.index(1), 0)
        clear_around(ring.index(1), begin, BLOCK, cleared.index(0), PART)
"""
"""What stands before the sequence's own keys in the first block of values."""

FAR = """\
    last = position + TOKENS - 1
    first = gl.minimum(gl.maximum((last - {window} + BLOCK) // BLOCK, 1), num_blocks)
    for block in range(1, first):
        weights, top, total, sums = attend_block(
            q, ring, ready, empty, block, weights, top, total, sums, positions, keys, True)
"""
"""Blocks whose first keys are too far back for the last query."""

FULL = """\
    for block in range(first, num_full):
        weights, top, total, sums = attend_block(
            q, ring, ready, empty, block, weights, top, total, sums, positions, keys, False)
    first = gl.maximum(num_full, first)
"""
"""Blocks that all queries see whole."""

CAPPED = """\
    inverse = gl.inline_asm_elementwise(
        "rcp.approx.ftz.f32 $0, $1;", "=f,f", [gl.exp2(scores * {factor}) + 1.0], gl.float32, True,
        1)
    scores = 1.0 - 2.0 * inverse  # a tanh, exact at both ends
"""

SINKS = """\
    top = gl.convert_layout(top, gl.SliceLayout(1, SUMS))[:, None]
    sink = gl.load({sinks} + first_head + heads, mask=real, other=0.0).to(gl.float32) * {log2e}
    new_top = gl.maximum(top, sink)
    fade = gl.exp2(top - new_top)
    total = total * fade + gl.exp2(sink - new_top)
    sums = sums * fade
"""
