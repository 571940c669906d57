import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tagged_runner import TaggedRunner, make_scheduler, reference

from tapeout.runtime.request import Arrive, Cancel, Request, Sampled


def request(name, prompt, max_tokens=8, **fields):
    return Request(name, np.array(prompt, np.int32), max_tokens, 0.0, 0, **fields)


def prompt_of(length, salt=0):
    return [(7 * i + 13 * salt + 1) % 250 for i in range(length)]


def drive(scheduler, runner, events=(), late=None):
    """Runs to the end, with the events of `late` at their time. Gives what finished, by name."""
    late, finished = dict(late or {}), {}
    plan = scheduler.step(0.0, list(events))
    for now in range(1, 5000):
        finished |= {f.request_id: f for f in plan.finished}
        scheduler.cache.check_integrity()
        if plan.frame is None and not late and not scheduler.num_unfinished:
            return finished
        done = [] if plan.frame is None else [Sampled(runner.run(plan.frame, plan.sampling))]
        plan = scheduler.step(float(now), [*done, *late.pop(now, [])])
    raise AssertionError("it does not end")


def tokens(finished):
    return {name: end.token_ids for name, end in finished.items()}


@pytest.mark.parametrize("budget", [4, 5, 16, 64])
def test_a_prompt_in_chunks_gives_the_tokens_of_a_prompt_at_once(budget):
    scheduler, runner = make_scheduler(max_num_batched_tokens=budget), TaggedRunner(65)
    done = drive(scheduler, runner, [Arrive(request("a", prompt_of(37)))])
    assert tokens(done) == {"a": reference(prompt_of(37), 8)}
    assert runner.max_tokens_of_a_step == min(budget, 37)


def test_steps_mix_decoding_sequences_with_chunks_of_prompts():
    scheduler, runner = make_scheduler(max_num_batched_tokens=6), TaggedRunner(65)
    requests = [request(str(i), prompt_of(n, i), 9) for i, n in enumerate([3, 20, 1, 33, 7, 2])]
    done = drive(scheduler, runner, map(Arrive, requests))
    wanted = {r.request_id: reference(r.prompt_token_ids, 9) for r in requests}
    assert tokens(done) == wanted
    assert runner.max_tokens_of_a_step == 6


def test_a_decoding_sequence_gets_its_token_while_a_long_prompt_is_read():
    scheduler, runner = make_scheduler(max_num_batched_tokens=4), TaggedRunner(65)
    late = {2: [Arrive(request("long", prompt_of(40, 1), 1))]}
    done = drive(scheduler, runner, [Arrive(request("a", [5], 10))], late)
    assert done["a"].times.finished_s < done["long"].times.finished_s
    assert done["a"].times.finished_s == 10.0


def test_the_youngest_gives_way_when_pages_run_out_and_says_the_same_in_the_end():
    scheduler, runner = make_scheduler(num_pages=12), TaggedRunner(12)
    requests = [request(str(i), prompt_of(6, i), 30) for i in range(4)]
    done = drive(scheduler, runner, map(Arrive, requests))
    assert scheduler.num_preemptions > 0
    assert tokens(done) == {r.request_id: reference(r.prompt_token_ids, 30) for r in requests}
    ends = [done[str(i)].times.finished_s for i in range(4)]
    assert ends == sorted(ends)


def test_a_sequence_that_just_fits_the_cache_runs_alone():
    scheduler, runner = make_scheduler(num_pages=17), TaggedRunner(17)
    requests = [request(str(i), prompt_of(60, i), 4) for i in range(3)]
    done = drive(scheduler, runner, map(Arrive, requests))
    assert tokens(done) == {r.request_id: reference(r.prompt_token_ids, 4) for r in requests}


def test_it_ends_at_the_end_of_the_context():
    scheduler, runner = make_scheduler(max_model_len=20), TaggedRunner(65)
    done = drive(scheduler, runner, [Arrive(request("a", prompt_of(17), 100))])
    assert done["a"].finish_reason == "length"
    assert done["a"].token_ids == reference(prompt_of(17), 3)


@pytest.mark.parametrize("num_stop_ids", [1, 3, 9])
def test_it_ends_at_a_stop_token_and_says_which(num_stop_ids):
    said = reference([1, 2, 3], 8)
    stop_ids = tuple(v for v in range(250) if v not in said)[: num_stop_ids - 1] + (said[4],)
    scheduler, runner = make_scheduler(), TaggedRunner(65)
    done = drive(scheduler, runner, [Arrive(request("a", [1, 2, 3], stop_token_ids=stop_ids))])
    assert (done["a"].finish_reason, done["a"].stop_token_id) == ("stop", said[4])
    assert done["a"].token_ids == said[: said.index(said[4]) + 1]


def test_a_request_can_be_cancelled_while_it_waits_and_while_it_runs():
    scheduler, runner = make_scheduler(max_num_seqs=1), TaggedRunner(65)
    events = {3: [Cancel("waits", "abort")], 5: [Cancel("runs", "abort")]}
    requests = [request(name, [9, 9], 20) for name in ("runs", "waits", "next")]
    done = drive(scheduler, runner, map(Arrive, requests), events)
    assert done["waits"].token_ids == []
    assert done["runs"].token_ids == reference([9, 9], 5)
    assert {done["waits"].finish_reason, done["runs"].finish_reason} == {"abort"}
    assert done["next"].token_ids == reference([9, 9], 20)
    assert scheduler.cache.num_free_pages() == (64,)


def test_cancelling_what_is_unknown_does_nothing():
    assert make_scheduler().step(0.0, [Cancel("nobody", "abort")]).finished == ()


def test_a_row_that_is_not_a_number_ends_its_request_alone():
    scheduler = make_scheduler()
    scheduler.step(0.0, [Arrive(request(name, [4, 2])) for name in "ab"])
    plan = scheduler.step(1.0, [Sampled(np.array([-1, 7], np.int32))])
    (end,) = plan.finished
    assert (end.request_id, end.finish_reason, end.token_ids) == ("a", "numeric_error", [])
    assert len(plan.frame.token_ids) == 1


def test_an_idle_scheduler_plans_nothing():
    plan = make_scheduler().step(0.0, [])
    assert plan.frame is None and plan.finished == ()


def test_ten_thousand_waiting_requests_are_cancelled_one_by_one():
    scheduler = make_scheduler()
    names = [str(i) for i in range(10_000)]
    scheduler.step(0.0, [Arrive(request(name, [1])) for name in names])
    plan = scheduler.step(
        1.0, [Sampled(np.zeros(4, np.int32)), *(Cancel(n, "abort") for n in names)]
    )
    assert len(plan.finished) == 10_000
    assert scheduler.num_unfinished == 0
    assert scheduler.cache.num_free_pages() == (64,)


def test_the_same_events_give_the_same_plans():
    def trace():
        scheduler, runner = make_scheduler(num_pages=14), TaggedRunner(14)
        requests = [request(str(i), prompt_of(5 + i, i), 12) for i in range(5)]
        drive(scheduler, runner, map(Arrive, requests))
        return runner.tags.tobytes(), runner.num_steps, scheduler.num_preemptions

    assert trace() == trace()


requests_strategy = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(0, 30), st.integers(0, 60)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60)
@given(requests_strategy, st.integers(17, 40), st.integers(1, 6), st.integers(6, 40))
def test_every_request_ends_once_with_its_own_tokens(requests, num_pages, max_num_seqs, budget):
    scheduler = make_scheduler(num_pages, max_num_seqs, max_num_batched_tokens=budget)
    runner, events, wanted = TaggedRunner(num_pages), {}, {}
    for i, (length, count, arrives, aborts) in enumerate(requests):
        prompt = prompt_of(length, i)
        events.setdefault(arrives + 1, []).append(Arrive(request(str(i), prompt, count)))
        if aborts % 3 == 0:
            events.setdefault(arrives + 1 + aborts, []).append(Cancel(str(i), "abort"))
        wanted[str(i)] = reference(prompt, count)
    done = drive(scheduler, runner, late=events)
    assert done.keys() == wanted.keys()
    for name, end in done.items():
        assert end.token_ids == wanted[name][: len(end.token_ids)]
        assert end.finish_reason == "abort" or end.token_ids == wanted[name]
    assert scheduler.cache.num_free_pages() == (num_pages - 1,)
