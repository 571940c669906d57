import math

import pytest
from fake_model import CONTEXT, NAN_TOKEN, VOCAB, make_tokenizer, reference

from tapeout import LLM, RequestOutputKind, SamplingParams

SURE = 1 - math.log(math.e + VOCAB - 1)  # the fake model's logit is 1 for a token, 0 for others
OTHER = -math.log(math.e + VOCAB - 1)


def ids(prompt):
    return {"prompt_token_ids": prompt}


def greedy(num_tokens, **fields):
    return SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True, **fields)


def prompt_of(length):
    return [(7 * i + 1) % NAN_TOKEN for i in range(length)]


def deltas(llm, prompt, params):
    params.output_kind = RequestOutputKind.DELTA
    return list(llm.stream(prompt, params))


@pytest.mark.parametrize("count", [0, 1, 20])
def test_logprobs_are_of_the_chosen_token_and_the_most_probable(llm, count):
    [out] = llm.generate(ids([4]), greedy(6, logprobs=count), use_tqdm=False)
    [completion] = out.outputs
    assert completion.token_ids == reference([4], 6) and len(completion.logprobs) == 6
    for token_id, entries in zip(completion.token_ids, completion.logprobs, strict=True):
        assert next(iter(entries)) == token_id and len(entries) == max(1, count)
        chosen = entries[token_id]
        assert chosen.logprob == pytest.approx(SURE) and chosen.rank == 1
        assert chosen.decoded_token == make_tokenizer().decode([token_id], False)
    assert completion.cumulative_logprob == pytest.approx(6 * SURE)


def test_a_token_that_was_not_the_most_probable_says_its_rank(llm):
    params = SamplingParams(temperature=1.0, seed=3, max_tokens=8, ignore_eos=True, logprobs=2)
    [out] = llm.generate(ids([4]), params, use_tqdm=False)
    [said] = out.outputs
    chosen = [entries[t] for t, entries in zip(said.token_ids, said.logprobs, strict=True)]
    assert {entry.rank for entry in chosen} == {1, 2} or {entry.rank for entry in chosen} == {2}
    wanted = [SURE if entry.rank == 1 else OTHER for entry in chosen]
    assert [entry.logprob for entry in chosen] == pytest.approx(wanted)


@pytest.mark.parametrize("length", [1, 2, 16, 17, 100, CONTEXT - 1])
def test_the_prompts_logprobs_are_of_each_token_but_the_first(llm, length):
    prompt = prompt_of(length)
    for _ in range(2):  # the second time the prompt is in the cache
        [out] = llm.generate(ids(prompt), greedy(1, prompt_logprobs=1), use_tqdm=False)
        assert out.prompt_logprobs[0] is None and len(out.prompt_logprobs) == length
        for position in range(1, length):
            best = reference(prompt[:position], 1)[0]
            entries = out.prompt_logprobs[position]
            assert list(entries) == list(dict.fromkeys([prompt[position], best]))
            assert entries[best].logprob == pytest.approx(SURE)
        assert out.num_cached_tokens == 0
        assert out.outputs[0].logprobs is None


def test_logprobs_of_a_prompt_come_once_and_do_not_touch_other_requests(llm):
    plain = [ids(prompt_of(n)) for n in (5, 30)]
    params = [greedy(9), greedy(9, prompt_logprobs=0), greedy(9, logprobs=1)]
    outs = llm.generate([plain[0], ids(prompt_of(90)), plain[1]], params, use_tqdm=False)
    assert [o.prompt_logprobs is None for o in outs] == [True, False, True]
    assert [o.outputs[0].logprobs is None for o in outs] == [True, True, False]
    assert [o.outputs[0].token_ids for o in outs] == [
        reference(prompt_of(n), 9) for n in (5, 90, 30)
    ]


def test_deltas_joined_are_the_whole(llm):
    params = greedy(12, logprobs=1, prompt_logprobs=0)
    [whole] = llm.generate("the cat", params, use_tqdm=False)
    parts = deltas(llm, "the cat", params)
    assert len(parts) == 12 and all(len(p.outputs[0].token_ids) == 1 for p in parts)
    assert [p.prompt_logprobs is not None for p in parts] == [True] + [False] * 11
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.extended(part)
    assert joined.outputs == whole.outputs
    assert joined.prompt_logprobs == whole.prompt_logprobs


@pytest.mark.parametrize(("interval", "counts"), [(1, [1] * 10), (4, [1, 4, 4, 1]), (99, [1, 9])])
def test_a_stream_tells_the_first_token_the_last_and_every_interval_between(llm, interval, counts):
    parts = deltas(llm, ids([4]), greedy(10, stream_interval=interval))
    assert [len(p.outputs[0].token_ids) for p in parts] == counts


def test_a_stream_of_the_end_alone_is_one_output(llm):
    params = greedy(10, output_kind=RequestOutputKind.FINAL_ONLY)
    [out] = llm.stream(ids([4]), params)
    assert out.outputs[0].token_ids == reference([4], 10)


def test_a_stop_string_is_never_shown_in_part(llm):
    [whole] = llm.generate("the cat", greedy(30), use_tqdm=False)
    text = whole.outputs[0].text
    stop = text[14:20]
    parts = deltas(llm, "the cat", greedy(30, stop=stop))
    assert "".join(p.outputs[0].text for p in parts) == text[: text.index(stop)]
    assert parts[-1].outputs[0].stop_reason == stop


def test_n_completions_stream_side_by_side(llm):
    params = SamplingParams(n=3, temperature=1.0, seed=5, max_tokens=6, ignore_eos=True)
    [whole] = llm.generate(ids([4, 4]), params, use_tqdm=False)
    parts = deltas(llm, ids([4, 4]), params)
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.extended(part)
    assert joined.outputs == whole.outputs
    cumulative = list(llm.stream(ids([4, 4]), params.clone()))
    assert cumulative[-1].finished


def test_n_completions_compute_their_prompt_once(fake):
    llm = LLM(fake, max_num_seqs=8, num_threads=1, enable_prefix_caching=False)
    prompt = prompt_of(100)
    params = SamplingParams(n=5, temperature=1.0, seed=1, max_tokens=4, ignore_eos=True)
    computed = []
    submit = llm.engine.core.runner.submit
    llm.engine.core.runner.submit = lambda frame: (computed.append(frame.dims[0]), submit(frame))
    [out] = llm.generate(ids(prompt), params, use_tqdm=False)
    assert out.outputs[0].token_ids == reference(prompt, 4, seed=1)
    assert len({tuple(c.token_ids) for c in out.outputs}) == 5
    assert sum(computed) < 100 + 4 * 16 + 5 * 4
    computed.clear()
    llm.generate(ids(prompt), params, use_tqdm=False)
    assert sum(computed) >= 100  # nothing was kept for a later request
    assert out.num_cached_tokens == 0


def test_the_end_says_when_it_came_and_what_was_cached(llm):
    prompt = prompt_of(77)
    llm.generate(ids(prompt), greedy(3), use_tqdm=False)
    [out] = llm.generate(ids(prompt), greedy(3), use_tqdm=False)
    assert out.num_cached_tokens == 64
    assert out.metrics.arrived_s <= out.metrics.first_token_s <= out.metrics.finished_s


@pytest.mark.parametrize("salts", [(None, None), ("a", "a"), ("a", "b"), (None, "a")])
def test_only_requests_of_one_salt_share_pages(fake, salts):
    llm = LLM(fake, num_threads=1)
    prompt = ids(prompt_of(40))
    outs = [llm.generate(prompt, greedy(3), False, cache_salt=salt)[0] for salt in salts]
    assert outs[1].num_cached_tokens == (32 if salts[0] == salts[1] else 0)


def test_a_request_may_leave_the_cache_unread(llm):
    prompt = ids(prompt_of(50))
    llm.generate(prompt, greedy(3), use_tqdm=False)
    [out] = llm.generate(prompt, greedy(3, skip_reading_prefix_cache=True), use_tqdm=False)
    assert out.num_cached_tokens == 0
