import random
import threading
from collections import deque

import pytest
from fake_model import NAN_TOKEN, reference

from tapeout import LLM, RequestOutputKind, SamplingParams, StructuredOutputsParams
from tapeout.errors import EngineDeadError, InputError, QueueFullError
from tapeout.runtime.generation import Generation
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.grammars.masks import MaskMaker
from tapeout.runtime.intake import RequestOptions


def ids(prompt):
    return {"prompt_token_ids": prompt}


def greedy(num_tokens, **fields):
    return SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True, **fields)


def token_ids(outputs):
    return [[c.token_ids for c in out.outputs] for out in outputs]


class Watched:
    """A runner that notes what is asked of it, and may fail or be interrupted."""

    def __init__(self, runner):
        self.runner, self.calls, self.raises = runner, [], deque()

    def submit(self, frame):
        self.calls.append("submit")
        self.runner.submit(frame)

    def wait(self):
        if self.raises and (error := self.raises.popleft()) is not None:
            raise error
        self.calls.append("wait")
        return self.runner.wait()

    def close(self):
        self.calls.append("close")


@pytest.fixture
def watched(fake):
    """A model of its own whose runner is watched."""
    llm = LLM(fake, max_num_seqs=4, max_num_batched_tokens=24, num_threads=1)
    llm.engine.core.runner = Watched(llm.engine.core.runner)
    return llm


def test_two_steps_are_in_flight_while_there_is_work(watched):
    watched.generate(ids([1]), greedy(6), use_tqdm=False)
    calls = watched.engine.core.runner.calls
    assert calls == ["submit", "submit"] + ["wait", "submit"] * 4 + ["wait"] * 2


def test_outputs_come_while_the_next_step_is_computed(watched):
    stream, runner = watched.stream(ids([1]), greedy(6)), watched.engine.core.runner
    next(stream)
    assert runner.calls == ["submit", "submit", "wait", "submit"]
    stream.close()


def test_what_a_long_prompt_needs_later_is_made_while_its_step_is_computed(watched, monkeypatch):
    calls, prepare = watched.engine.core.runner.calls, Generation.prepare
    monkeypatch.setattr(Generation, "prepare", lambda own: (calls.append("make"), prepare(own)))
    [out] = watched.generate(ids([4] * 20), greedy(1), use_tqdm=False)
    assert calls == ["submit", "make", "wait"] and out.prompt_token_ids == [4] * 20


def test_when_all_is_done_no_step_is_left_in_flight(watched):
    said = reference([1], 30)
    params = greedy(30, stop_token_ids=[said[4]])
    watched.generate(ids([1]), params, use_tqdm=False)
    assert watched.engine.is_idle and watched.engine.scheduler.num_in_flight == 0
    calls = watched.engine.core.runner.calls
    assert calls.count("submit") == calls.count("wait")


def test_a_failing_step_ends_everything_and_later_calls_say_so(watched):
    watched.engine.core.runner.raises.extend([None, RuntimeError("the device is gone")])
    open_stream = watched.stream(ids([1]), greedy(30))
    next(open_stream)
    with pytest.raises(EngineDeadError, match="the device is gone"):
        watched.generate([ids([2])] * 6, greedy(30), use_tqdm=False)
    for call in (lambda: next(open_stream), lambda: watched.generate(ids([1]), use_tqdm=False)):
        with pytest.raises(EngineDeadError, match="the device is gone"):
            call()
    assert watched.engine.num_unfinished == 0 and watched.engine.is_idle


@pytest.mark.parametrize("where", ["wait", "step"])
def test_an_interrupt_that_cuts_a_step_in_two_is_final(watched, where):
    def interrupted(*_):
        raise KeyboardInterrupt

    if where == "wait":
        watched.engine.core.runner.raises.extend([None, None, KeyboardInterrupt()])
    else:
        watched.engine.scheduler.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        watched.generate([ids([2])] * 6, greedy(30), use_tqdm=False)
    with pytest.raises(EngineDeadError, match="KeyboardInterrupt"):
        watched.generate(ids([2]), greedy(30), use_tqdm=False)


def test_a_full_queue_refuses_a_whole_batch(fake):
    llm = LLM(fake, max_num_seqs=2, max_num_waiting=5, max_waiting_tokens=40, num_threads=1)
    with pytest.raises(QueueFullError, match="hold 6, more than max_num_waiting=5"):
        llm.generate([ids([1])] * 6, greedy(2), use_tqdm=False)
    with pytest.raises(QueueFullError, match="hold 45, more than max_waiting_tokens=40"):
        llm.generate([ids([1] * 15)] * 3, greedy(2), use_tqdm=False)
    assert llm.engine.is_idle
    out = llm.generate([ids([1])] * 5, greedy(2), use_tqdm=False)
    assert token_ids(out) == [[reference([1], 2)]] * 5


def test_the_more_urgent_of_two_is_served_first(fake):
    llm = LLM(fake, max_num_seqs=1, num_threads=1)
    outs = llm.generate([ids([i]) for i in range(4)], greedy(2), False, priority=[3, 1, 2, 0])
    order = sorted(range(4), key=lambda i: outs[i].metrics.finished_s)
    assert order == [3, 1, 2, 0]
    with pytest.raises(InputError, match=r"priority=\[1\] is not a list with a number for each"):
        llm.generate([ids([1])] * 2, greedy(2), use_tqdm=False, priority=[1])


def test_a_numeric_error_ends_its_own_completion_alone(llm):
    prompts = [[1], [NAN_TOKEN, 2], [3]]
    outs = llm.generate([ids(p) for p in prompts], greedy(9, logprobs=1), use_tqdm=False)
    assert [o.outputs[0].finish_reason for o in outs] == ["length", "numeric_error", "length"]
    assert token_ids(outs) == [[reference([1], 9)], [[]], [reference([3], 9)]]
    assert outs[1].outputs[0].logprobs == [] and outs[1].finished


def fail_at(monkeypatch, llm, broken):
    """From now on no text can be made of this token."""
    decode = llm._tokenizer.decode

    def failing(token_ids, skip_special_tokens=True):
        if broken in token_ids:
            raise ValueError("no such token")
        return decode(token_ids, skip_special_tokens)

    monkeypatch.setattr(llm._tokenizer, "decode", failing)
    return decode


@pytest.mark.parametrize("fields", [{}, {"logprobs": 2}, {"stop": "no such text"}])
@pytest.mark.parametrize("place", [0, 6, 11])
def test_text_that_cannot_be_made_ends_its_own_request_alone(llm, monkeypatch, fields, place):
    said, others = reference([1], 12), reference([2], 12)
    assert said[place] not in others + said[:place]
    decode = fail_at(monkeypatch, llm, said[place])
    outs = llm.generate([ids([1]), ids([2])], greedy(12, **fields), use_tqdm=False)
    [lost], [fine] = outs[0].outputs, outs[1].outputs
    assert (lost.finish_reason, lost.stop_reason) == ("text_error", None)
    assert lost.token_ids == (said[:place] if fields else said)  # unwatched, its text comes last
    assert decode(said[:place]).startswith(lost.text)
    assert lost.logprobs is None or len(lost.logprobs) == place
    assert (fine.token_ids, fine.text) == (others, decode(others))
    assert llm.engine.is_idle and llm.engine.num_unfinished == 0


@pytest.mark.parametrize("kind", list(RequestOutputKind))
def test_a_stream_whose_text_cannot_be_made_says_so_at_its_end(llm, monkeypatch, kind):
    said = reference([1], 12)
    fail_at(monkeypatch, llm, said[6])
    *_, last = llm.stream(ids([1]), greedy(12, output_kind=kind))
    assert last.finished and last.outputs[0].finish_reason == "text_error"
    if kind is RequestOutputKind.CUMULATIVE:
        assert last.outputs[0].token_ids == said[:6]


def test_a_prompt_whose_logprobs_have_no_text_ends_its_own_request_alone(llm, monkeypatch):
    llm._tokenizer._token_texts.clear()
    fail_at(monkeypatch, llm, 300)
    params = greedy(5, prompt_logprobs=0)
    outs = llm.generate([ids([7, 300, *[8] * 40]), ids([7] * 42)], params, use_tqdm=False)
    assert [out.outputs[0].finish_reason for out in outs] == ["text_error", "length"]
    assert outs[0].prompt_logprobs == [None] and len(outs[1].prompt_logprobs) == 42


def test_refused_requests_change_no_other_requests_tokens(fake):
    params = SamplingParams(temperature=1.0, max_tokens=8, ignore_eos=True)

    def said(with_bad):
        llm = LLM(fake, seed=3, num_threads=1)
        for _ in range(3 if with_bad else 0):
            with pytest.raises(InputError, match="is not in the vocabulary"):
                bad = SamplingParams(stop_token_ids=[10**6])
                llm.generate([ids([1]), ids([2])], [params, bad], use_tqdm=False)
        return token_ids(llm.generate([ids([5]), ids([6])], params, use_tqdm=False))

    assert said(with_bad=True) == said(with_bad=False)


def drawn(chance):
    """A request with features drawn at random; its answer depends on nothing else."""
    prompt = [chance.randrange(NAN_TOKEN) for _ in range(chance.choice([1, 3, 16, 17, 60]))]
    fields = {"seed": chance.randrange(99), "temperature": chance.choice([0, 1.0])}
    fields |= {"max_tokens": chance.choice([1, 7, 40]), "ignore_eos": chance.random() < 0.5}
    for name, value in {
        "logprobs": 2,
        "prompt_logprobs": 1,
        "min_tokens": 1,
        "stop": ["a", "he"],
        "stop_token_ids": [5, 6, 7],
        "bad_words": ["the cat", "s"],
        "logit_bias": {9: 2.0, 10: -1.0},
        "allowed_token_ids": list(range(0, 300, 3)),
    }.items():
        if chance.random() < 0.3:
            fields[name] = value
    if fields["temperature"]:
        fields["n"] = chance.choice([1, 1, 3])
    return ids(prompt), SamplingParams(**fields)


@pytest.mark.parametrize("seed", range(6))
def test_every_mix_of_features_in_a_crowd_gives_what_it_gives_alone(fake, seed):
    chance = random.Random(seed)
    requests = [drawn(chance) for _ in range(24)]
    prompts, params = zip(*requests, strict=True)
    page_bytes = 2 * 128
    crowded = LLM(
        fake,
        max_num_seqs=6,
        max_num_batched_tokens=chance.choice([6, 17, 64]),
        max_model_len=128,
        kv_cache_bytes=12 * page_bytes,
        enable_prefix_caching=seed % 2 == 0,
        num_threads=1,
    )
    alone = LLM(fake, max_num_seqs=4, max_model_len=128, num_threads=1)
    found = crowded.generate(list(prompts), list(params), use_tqdm=False)
    assert crowded.engine.scheduler.num_preemptions > 0
    for out, (prompt, own) in zip(found, requests, strict=True):
        [wanted] = alone.generate(prompt, own, use_tqdm=False)
        assert out.outputs == wanted.outputs
        assert out.prompt_logprobs == wanted.prompt_logprobs
    crowded.engine.scheduler.cache.check_integrity()


def test_a_constrained_request_takes_every_second_step_and_others_every_one(watched):
    frames, submit = [], watched.engine.core.runner.submit
    watched.engine.core.runner.submit = lambda frame: (frames.append(frame), submit(frame))
    held = StructuredOutputsParams(regex="[a-z]{60}")
    params = [greedy(8, structured_outputs=held), greedy(150)]
    outs = watched.generate([ids([1]), ids([2])], params, use_tqdm=False)
    assert token_ids(outs)[1] == [reference([2], 150)]
    assert outs[0].outputs[0].text.isalpha() and len(outs[0].outputs[0].token_ids) == 8
    rows = [len(frame.logit_rows) for frame in frames]
    first = rows.index(2)
    assert rows[first : first + 15] == [2, 1] * 7 + [2]
    assert set(rows[:first] + rows[first + 15 :]) == {1}


def test_masks_are_made_while_a_step_is_computed(watched, monkeypatch):
    core, in_flight, follow = watched.engine.core, [], MaskMaker.follow

    def noted(masks, request_id, token_id):
        in_flight.append(core._num_in_flight)
        return follow(masks, request_id, token_id)

    monkeypatch.setattr(MaskMaker, "follow", noted)
    held = greedy(6, structured_outputs=StructuredOutputsParams(regex="[a-z]{60}"))
    watched.generate([ids([1]), ids([2])], [held, greedy(150)], use_tqdm=False)
    assert in_flight == [1] * 6
    watched.generate(ids([1]), held, use_tqdm=False)
    assert in_flight[6:] == [0] * 6


def test_a_request_is_ended_by_a_grammar_that_cannot_be_compiled_any_more(watched, monkeypatch):
    def failing(compiler, source):
        if threading.current_thread() is not threading.main_thread():
            raise InputError("no memory")
        return compile_grammar(compiler, source)

    compile_grammar = GrammarCompiler.compile
    monkeypatch.setattr(GrammarCompiler, "compile", failing)
    held = greedy(6, structured_outputs=StructuredOutputsParams(regex="[a-z]{60}"))
    outs = watched.generate([ids([1]), ids([2])], [held, greedy(9)], use_tqdm=False)
    assert [o.outputs[0].finish_reason for o in outs] == ["grammar_error", "length"]
    assert token_ids(outs) == [[[]], [reference([2], 9)]] and watched.engine.is_idle


@pytest.fixture
def held_back(watched, monkeypatch):
    """A constrained request in the engine whose grammar is compiled only when the event is set."""
    may_go_on, compile_grammar = threading.Event(), GrammarCompiler.compile

    def slow(compiler, source):
        if threading.current_thread() is not threading.main_thread():
            may_go_on.wait()
        return compile_grammar(compiler, source)

    monkeypatch.setattr(GrammarCompiler, "compile", slow)
    params = greedy(6, structured_outputs=StructuredOutputsParams(regex="[a-z]{60}"))
    [(prompt, params)] = watched._intake.prompts([ids([1])], params)
    generation = watched._intake.generation("held", prompt, params, RequestOptions())
    watched.engine.add([generation])
    watched._boxes["held"] = deque()  # somebody waits for it
    yield generation, may_go_on
    may_go_on.set()


def test_a_slow_grammar_holds_up_its_own_request_alone(watched, held_back):
    generation, may_go_on = held_back
    [free] = watched.generate(ids([2]), greedy(50), use_tqdm=False)
    assert free.outputs[0].token_ids == reference([2], 50)
    assert watched.engine.num_unfinished == 1
    may_go_on.set()
    while not watched.engine.is_idle:
        watched.engine.step()
    assert generation.completions[0].output.text.isalpha()


def test_a_request_that_leaves_before_its_grammar_is_ready_leaves_nothing(watched, held_back):
    masks = watched.engine.core._masks
    watched.engine.step()
    watched.engine.abort("held")
    watched.engine.step()
    assert watched.engine.is_idle and not masks._beginning
    held_back[1].set()
    masks._pool.shutdown()
    assert masks.begun() == [] and not masks.is_used
