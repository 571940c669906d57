"""Triton of logprobs: of the token that was chosen, its rank, and the most probable ones.

A block takes a row. The best logit of each group of GROUP is noted; then NUM_TOP times the best of
all is taken from its group, where what comes after it in order is the group's next.
"""

LOGPROBS = '''@triton.jit
def _survey(p_x, chosen, p_bests):
    """Notes the best of each group; the rank of `chosen`, and the sum of e^(x - largest)."""
    rank = tl.full((), 1, tl.int32)
    lane = tl.arange(0, AT_ONCE)[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    most = tl.full([AT_ONCE], float("-inf"), tl.float32)
    for start in tl.range(0, V, AT_ONCE * GROUP, num_stages=4):
        x = tl.load(p_x + start + lane, mask=start + lane < V, other=float("-inf"))
        rank += tl.sum((x > chosen).to(tl.int32))
        best = tl.max(x, axis=1)
        tl.store(p_bests + start // GROUP + tl.arange(0, AT_ONCE), best)
        most = tl.maximum(most, best)
    largest = tl.max(most)
    total = tl.zeros([AT_ONCE, GROUP], tl.float32)
    for start in tl.range(0, V, AT_ONCE * GROUP, num_stages=4):
        x = tl.load(p_x + start + lane, mask=start + lane < V, other=float("-inf"))
        total += tl.exp(x - largest)
    tl.debug_barrier()
    return rank, largest, tl.sum(total)


@triton.jit
def _take_best(p_x, bests, before, after):
    """The next in order after `before` of place `after`: its logit, its place, the bests left."""
    groups = tl.arange(0, NUM_GROUPS)
    best = tl.max(bests)
    group = tl.min(tl.where(bests == best, groups, NUM_GROUPS))
    v = group * GROUP + tl.arange(0, GROUP)
    x = tl.load(p_x + v, mask=v < V, other=float("-inf"))
    left = (x < before) | ((x == before) & (v > after))
    place = tl.min(tl.where(left & (x == best), v, V))
    left = left & ((x < best) | (v > place))
    following = tl.max(tl.where(left, x, float("-inf")))
    return best, place, tl.where(groups == group, following, bests)


@triton.jit
def NAME(ARGUMENTS):
    """DOC"""
    row = tl.program_id(0)
    slot = tl.load(p_sample_slots + row)
    wanted = tl.load(p_num_logprobs + slot)
    if tl.load(p_targets + row) >= 0:
        wanted = tl.load(p_num_prompt_logprobs + slot)
    if wanted < 0:
        return
    token = tl.load(o_tokens + row)
    if token < 0:
        return
    p_x = p_logits + row.to(tl.int64) * V
    p_bests = w_groups + row * NUM_GROUPS
    chosen = tl.load(p_x + token)
    rank, largest, total = _survey(p_x, chosen, p_bests)
    log_total = largest.to(tl.float64) + tl.log(total.to(tl.float64))
    tl.store(o_chosen_logprobs + row, (chosen.to(tl.float64) - log_total).to(tl.float32))
    tl.store(o_ranks + row, rank)
    groups = tl.arange(0, NUM_GROUPS)
    bests = tl.load(p_bests + groups, mask=groups < (V + GROUP - 1) // GROUP, other=float("-inf"),
                    cache_modifier=".cg")
    best, place = tl.full((), float("inf"), tl.float32), tl.full((), -1, tl.int32)
    for i in range(0, NUM_TOP):
        best, place, bests = _take_best(p_x, bests, best, place)
        tl.store(o_top_token_ids + row * NUM_TOP + i, tl.where(i < V, place, -1))
        logprob = (best.to(tl.float64) - log_total).to(tl.float32)
        tl.store(o_top_logprobs + row * NUM_TOP + i, logprob)
'''
