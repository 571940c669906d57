import asyncio
import gc
import random
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from fake_model import CONTEXT, EOS, NAN_TOKEN, VOCAB, make_tokenizer, reference

from tapeout import AsyncLLM, RequestOutputKind, SamplingParams
from tapeout.errors import EngineDeadError, InputError, QueueFullError, TapeoutError
from tapeout.runtime import async_llm as module
from tapeout.runtime.stream import Mailbox, Stream

KINDS = list(RequestOutputKind)
LONG = SamplingParams(temperature=0, max_tokens=200, ignore_eos=True)


@pytest.fixture(scope="module")
def served(fake):
    llm = AsyncLLM(fake, max_num_seqs=8, max_num_batched_tokens=48, num_threads=1)
    yield llm
    llm.shutdown()


class Slowed:
    """A runner whose 200 steps take seconds: what is asked of a request meets it unfinished."""

    def __init__(self, runner):
        self.runner, self.submit, self.error = runner, runner.submit, None

    def wait(self):
        time.sleep(0.02)
        if self.error is not None:
            raise self.error
        return self.runner.wait()

    def close(self):
        """The runner goes on for others."""


@contextmanager
def slowed(llm):
    runner = llm.engine.core.runner
    llm.engine.core.runner = Slowed(runner)
    try:
        yield llm.engine.core.runner
    finally:
        llm.engine.core.runner = runner


def prompt_of(length, salt=0):
    return [(7 * i + 13 * salt + 1) % NAN_TOKEN for i in range(length)]


def ids(prompt):
    return {"prompt_token_ids": prompt}


def params_of(num_tokens, **fields):
    return SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True, **fields)


async def outputs_of(llm, *args, **options):
    return [output async for output in llm.generate(*args, **options)]


async def settled(llm, num_before=None):
    """Waits for the engine to have nothing to do; all pages are free or cached then."""
    deadline = time.monotonic() + 20
    while not llm.engine.is_idle or llm._thread._streams or llm._thread._mailboxes:
        assert time.monotonic() < deadline, "the engine does not come to rest"
        await asyncio.sleep(0.005)
    scheduler = llm.engine.scheduler
    assert scheduler.num_unfinished == scheduler.num_in_flight == 0
    scheduler.cache.check_integrity()
    assert scheduler.cache.num_free_pages() == tuple(n - 1 for n in llm.memory_plan.num_pages)


def test_two_hundred_streams_at_once_are_each_their_offline_answer(served):
    async def main():
        prompts = [prompt_of(1 + i % 60, i) for i in range(200)]
        kinds = [KINDS[i % 3] for i in range(200)]
        streams = [
            outputs_of(served, ids(prompt), params_of(5 + i % 9, output_kind=kind))
            for i, (prompt, kind) in enumerate(zip(prompts, kinds, strict=True))
        ]
        for i, outputs in enumerate(await asyncio.gather(*streams)):
            parts = [output.outputs[0].token_ids for output in outputs]
            whole = sum(parts, []) if kinds[i] is RequestOutputKind.DELTA else parts[-1]
            assert whole == reference(prompts[i], 5 + i % 9)
            assert [output.finished for output in outputs] == [False] * (len(parts) - 1) + [True]
            assert kinds[i] is not RequestOutputKind.FINAL_ONLY or len(parts) == 1
        await settled(served)

    asyncio.run(main())


def test_cancelling_at_any_moment_leaves_every_page_free_or_cached(served):
    async def one(i, chance):
        task = asyncio.ensure_future(outputs_of(served, ids(prompt_of(1 + i % 90, i)), LONG))
        await asyncio.sleep(chance.random() * 0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def main():
        chance = random.Random(5)
        for _ in range(4):
            kept = outputs_of(served, ids([3, 3]), params_of(40))
            outputs, *_ = await asyncio.gather(kept, *(one(i, chance) for i in range(60)))
            assert outputs[-1].outputs[0].token_ids == reference([3, 3], 40)
            await settled(served)
        assert served.engine.num_unfinished == 0

    asyncio.run(main())


def test_nothing_grows_from_one_request_to_the_next(served):
    async def some(num):
        for i in range(num):
            streams = [served.generate("the cat " * (1 + i % 5), LONG) for _ in range(4)]
            await asyncio.gather(*(anext(stream) for stream in streams))
            for stream in streams:
                await stream.aclose()
            await outputs_of(served, ids([i % 300]), params_of(3, stop="x", logprobs=1))
        await settled(served)

    async def main():
        await some(20)
        gc.collect()
        before = len(gc.get_objects())
        await some(60)
        gc.collect()
        assert len(gc.get_objects()) - before < 60

    asyncio.run(main())


@pytest.mark.parametrize("num_before", [0, 1, 5])
def test_leaving_the_loop_ends_the_request(served, num_before):
    async def main():
        stream = served.generate(ids([5]), LONG)
        for _ in range(num_before):
            await anext(stream)
        await stream.aclose()
        await settled(served)

    with slowed(served):
        asyncio.run(main())


@pytest.mark.parametrize("where", ["queued", "in prefill", "in decode"])
def test_an_abort_gives_what_there_is_and_says_so(served, where):
    async def main():
        others = []
        if where == "queued":
            others = [asyncio.ensure_future(outputs_of(served, ids([i]), LONG)) for i in range(16)]
            await asyncio.sleep(0.02)
        prompt = prompt_of(CONTEXT - 40 if where == "in prefill" else 3)
        stream = served.generate(ids(prompt), LONG, request_id="it")
        if where == "in decode":
            await anext(stream)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await served.abort(["it", "nobody"])
        last = await first
        async for output in stream:
            last = output
        assert last.outputs[0].finish_reason == "abort" and last.finished
        said = last.outputs[0].token_ids
        assert said == reference(prompt, 200)[: len(said)]
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await settled(served)

    with slowed(served):
        asyncio.run(main())


def test_event_loops_of_several_threads_share_one_engine(served):
    failures = []

    def serve(salt):
        async def main():
            prompts = [prompt_of(n, salt) for n in (2, 17, 40)]
            found = await asyncio.gather(
                *(outputs_of(served, ids(prompt), params_of(12)) for prompt in prompts)
            )
            for prompt, outputs in zip(prompts, found, strict=True):
                if outputs[-1].outputs[0].token_ids != reference(prompt, 12):
                    failures.append(prompt)

        asyncio.run(main())

    threads = [threading.Thread(target=serve, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    asyncio.run(settled(served))


@pytest.mark.parametrize("kind", [RequestOutputKind.CUMULATIVE, RequestOutputKind.DELTA])
def test_a_slow_reader_gets_several_steps_as_one_output(served, kind):
    async def main():
        stream = served.generate("the cat", params_of(60, output_kind=kind, logprobs=1))
        outputs = [await anext(stream)]
        time.sleep(0.2)  # the whole event loop sleeps
        while served.engine.num_unfinished:
            await asyncio.sleep(0.01)
        outputs += [output async for output in stream]
        assert len(outputs) <= 4
        if kind is RequestOutputKind.CUMULATIVE:
            outputs = outputs[-1:]
        wanted = reference(make_tokenizer().encode("the cat").ids, 60)
        assert [t for o in outputs for t in o.outputs[0].token_ids] == wanted
        assert [t for o in outputs for e in o.outputs[0].logprobs for t in list(e)[:1]] == wanted
        assert "".join(o.outputs[0].text for o in outputs) == make_tokenizer().decode(wanted)

    asyncio.run(main())


def test_an_event_loop_that_is_closed_leaves_nothing_behind(served):
    loop = asyncio.new_event_loop()
    stream = served.generate(ids([9]), LONG)
    loop.run_until_complete(anext(stream))
    loop.close()
    asyncio.run(settled(served))
    del stream


def test_an_event_loop_that_is_closed_before_it_was_woken_is_told_from_one_that_is_slow():
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    stream = Stream(SimpleNamespace(params=LONG), mailbox)
    mailbox.put([(stream, TapeoutError("first"))])
    mailbox.put([(stream, TapeoutError("second"))])  # the loop has yet to run
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        mailbox.put([(stream, TapeoutError("third"))])


def test_loops_that_closed_before_the_end_of_their_requests_are_forgotten(served):
    loop = asyncio.new_event_loop()
    stream = served.generate(ids([9]), params_of(40))  # it lasts for longer than one turn
    task = loop.create_task(anext(stream))
    loop.run_until_complete(asyncio.sleep(0))  # the request is on its way, nothing is taken
    deadline = time.monotonic() + 20
    while not (served.engine.is_idle and served._thread._mailboxes[loop][0]._ready):
        assert time.monotonic() < deadline, "the request does not end"
        time.sleep(0.001)
    loop.close()
    asyncio.run(outputs_of(served, ids([4]), params_of(2)))
    assert loop not in served._thread._mailboxes
    task._log_destroy_pending = False
    del stream, task


def test_a_bad_request_is_refused_and_the_others_go_on_unchanged(served):
    bad = [
        (ids([]), SamplingParams(), "the prompt is empty"),
        (ids([VOCAB]), SamplingParams(), "not in the vocabulary"),
        (ids(prompt_of(CONTEXT)), SamplingParams(), "leaves no room"),
        (ids([1]), SamplingParams(stop_token_ids=[VOCAB]), "stop_token_ids=320 is not in"),
        (ids([1]), SamplingParams(logit_bias={VOCAB: 1.0}), "logit_bias=320 is not in"),
        (ids([1]), SamplingParams(allowed_token_ids=[VOCAB]), "allowed_token_ids=320 is not"),
        ("a" * 10**7, SamplingParams(), "the prompt has 10000000 characters"),
    ]

    async def refused(prompt, params, message):
        with pytest.raises(InputError, match=message):
            await outputs_of(served, prompt, params)

    async def main():
        params = SamplingParams(temperature=1.0, seed=7, max_tokens=60, ignore_eos=True)
        kept = asyncio.ensure_future(outputs_of(served, ids([4]), params))
        await asyncio.gather(*(refused(*case) for case in bad * 3))
        outputs = await kept
        assert outputs[-1].outputs[0].token_ids == reference([4], 60, seed=7)

    asyncio.run(main())


@pytest.mark.parametrize("text", ["the cat ", "the cat " * 25])
def test_a_long_prompt_is_tokenized_while_the_event_loop_goes_on(served, monkeypatch, text):
    monkeypatch.setattr(module, "_LONG_PROMPT", 100)
    threads, encode = [], served.get_tokenizer().encode

    def noting(*args):
        threads.append(threading.current_thread())
        return encode(*args)

    monkeypatch.setattr(served.get_tokenizer(), "encode", noting)
    asyncio.run(outputs_of(served, text, params_of(2)))
    assert (threads[0] is threading.main_thread()) == (len(text) < 100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priority": 1.5}, "priority=1.5"),
        ({"priority": 2**40}, "priority=1099511627776"),
        ({"tenant": 5}, "tenant=5"),
        ({"cache_salt": ""}, "cache_salt="),
        ({"tenant": "\ud800"}, "tenant='.ud800'"),
        ({"timeout_s": 0}, "timeout_s=0 is not allowed; give a number above 0"),
        ({"timeout_s": float("nan")}, "timeout_s=nan"),
        ({"request_id": 5}, "request_id=5"),
        ({"request_id": "x" * 2000}, "request_id=x"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(served, options, message):
    with pytest.raises(InputError, match=message):
        asyncio.run(outputs_of(served, ids([1]), **options))


def test_a_request_id_in_use_is_refused_and_its_owner_goes_on(served):
    async def main():
        stream = served.generate(ids([1]), params_of(40), request_id="mine")
        await anext(stream)
        with pytest.raises(InputError, match="request_id=mine is in use"):
            await outputs_of(served, ids([2]), request_id="mine")
        outputs = [output async for output in stream]
        assert outputs[-1].outputs[0].token_ids == reference([1], 40)

    with slowed(served):
        asyncio.run(main())


def test_a_full_queue_refuses_before_anything_is_queued(fake):
    async def main():
        async with AsyncLLM(fake, max_num_seqs=2, max_num_waiting=3, num_threads=1) as llm:
            running = [asyncio.ensure_future(outputs_of(llm, ids([i]), LONG)) for i in range(3)]
            await asyncio.sleep(0.05)
            with pytest.raises(QueueFullError, match="max_num_waiting=3"):
                await outputs_of(llm, ids([9]), SamplingParams(n=4))
            outputs = await asyncio.gather(*running)
            assert [o[-1].outputs[0].token_ids for o in outputs] == [
                reference([i], 200) for i in range(3)
            ]

    asyncio.run(main())


def test_a_request_that_runs_out_of_time_ends_with_what_it_has(served):
    async def main():
        outputs = await outputs_of(served, ids([1]), LONG, timeout_s=1e-9)
        assert outputs[-1].outputs[0].finish_reason == "timeout"
        outputs = await outputs_of(served, ids([1]), params_of(5), timeout_s=60)
        assert outputs[-1].outputs[0].finish_reason == "length"

    asyncio.run(main())


def test_a_numeric_error_ends_its_own_request_alone(served):
    async def main():
        lost, fine = await asyncio.gather(
            outputs_of(served, ids([NAN_TOKEN, 1]), LONG), outputs_of(served, ids([1]), LONG)
        )
        assert lost[-1].outputs[0].finish_reason == "numeric_error"
        assert lost[-1].outputs[0].token_ids == []
        assert fine[-1].outputs[0].token_ids == reference([1], 200)

    asyncio.run(main())


def test_an_engine_whose_step_fails_ends_every_request_and_says_so_later(fake):
    async def main():
        llm = AsyncLLM(fake, num_threads=1)
        with slowed(llm) as runner:
            streams = [llm.generate(ids([i]), LONG) for i in range(3)]
            await asyncio.gather(*(anext(stream) for stream in streams))
            runner.error = RuntimeError("the device is gone")
            for stream in streams:
                with pytest.raises(EngineDeadError, match="the device is gone"):
                    async for _ in stream:
                        pass
        for _ in range(2):
            with pytest.raises(EngineDeadError, match="the device is gone"):
                await outputs_of(llm, ids([1]), LONG)
        with pytest.raises(EngineDeadError):
            await llm.check_health()
        llm.shutdown()

    asyncio.run(main())


def test_a_fault_in_the_engine_thread_ends_every_stream_and_names_itself(fake):
    async def main():
        llm = AsyncLLM(fake, num_threads=1)
        with slowed(llm):
            stream = llm.generate(ids([1]), LONG)
            await anext(stream)
            llm._thread._commands.put(lambda: {}["a bug"])
            with pytest.raises(EngineDeadError, match="the engine failed: .*a bug"):
                async for _ in stream:
                    pass
        with pytest.raises(EngineDeadError, match="the engine failed"):
            await outputs_of(llm, ids([1]))
        llm.shutdown()

    asyncio.run(main())


def test_a_request_at_which_the_engine_fails_is_told_so_like_the_others(fake, monkeypatch):
    async def main():
        llm = AsyncLLM(fake, num_threads=1)
        with slowed(llm):
            stream = llm.generate(ids([1]), LONG)
            await anext(stream)
            monkeypatch.setattr(llm.engine, "add", lambda _: {}["a bug"])
            for one in (llm.generate(ids([2]), LONG), stream):
                with pytest.raises(EngineDeadError, match="the engine failed: .*a bug"):
                    async with asyncio.timeout(5):
                        async for _ in one:
                            pass
        llm.shutdown()

    asyncio.run(main())


def test_shutting_down_ends_streams_with_an_error_and_may_be_repeated(fake):
    async def main():
        llm = AsyncLLM(fake, num_threads=1)
        with slowed(llm):
            stream = llm.generate(ids([1]), LONG)
            await anext(stream)
            llm.shutdown()
        with pytest.raises(EngineDeadError, match="was shut down"):
            async for _ in stream:
                pass
        with pytest.raises(EngineDeadError, match="was shut down"):
            await outputs_of(llm, ids([1]))
        with pytest.raises(EngineDeadError, match="was shut down"):
            await llm.check_health()
        llm.shutdown()

    asyncio.run(main())


def test_an_abort_of_what_is_no_request_id_is_refused_and_the_others_go_on(served):
    async def main():
        stream = served.generate(ids([1]), params_of(20), "mine")
        await anext(stream)
        for bad in ([["mine"]], ["mine", None], [b"mine"]):
            with pytest.raises(InputError, match="is not a text"):
                await served.abort(bad)
        last = [output async for output in stream][-1]
        assert last.outputs[0].token_ids == reference([1], 20)

    with slowed(served):
        asyncio.run(main())


def test_an_engine_with_nothing_to_do_takes_no_processor_time(served):
    asyncio.run(outputs_of(served, ids([1]), params_of(3)))
    asyncio.run(settled(served))
    started_s = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - started_s < 0.05


def test_a_model_that_is_dropped_ends_its_threads(fake):
    before = threading.active_count()
    llm = AsyncLLM(fake, num_threads=1)
    asyncio.run(outputs_of(llm, ids([1]), params_of(3)))
    assert threading.active_count() > before
    del llm
    assert threading.active_count() <= before


def test_an_end_of_sequence_is_found_though_steps_run_ahead(served):
    prompt = next(p for p in ([i] for i in range(VOCAB - 1)) if EOS in reference(p, 100)[:50])
    wanted = reference(prompt, 100)
    wanted = wanted[: wanted.index(EOS) + 1]
    outputs = asyncio.run(
        outputs_of(served, ids(prompt), SamplingParams(temperature=0, max_tokens=99))
    )
    assert outputs[-1].outputs[0].token_ids == wanted
    assert outputs[-1].outputs[0].finish_reason == "stop"
