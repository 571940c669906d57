import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tagged_runner import Loop, make_scheduler, reference

from tapeout.runtime.frame import StepResult
from tapeout.runtime.request import Arrive, Cancel, Request, StepsLost

DEPTHS = (0, 1, 3)  # steps in flight while the next is planned


def prompt_of(length, salt=0):
    return [(7 * i + 13 * salt + 1) % 250 for i in range(length)]


def loop_of(depth=1, **options):
    return Loop(make_scheduler(**options), depth)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("budget", [4, 5, 16, 64])
def test_a_prompt_in_chunks_gives_the_tokens_of_a_prompt_at_once(budget, depth):
    loop = loop_of(depth, max_num_batched_tokens=budget)
    loop.add("a", prompt_of(37), 8)
    assert loop.run() == {"a": reference(prompt_of(37), 8)}
    assert max(len(frame.positions) for frame in loop.runner.frames) == min(budget, 37)


@pytest.mark.parametrize("depth", DEPTHS)
def test_steps_mix_decoding_sequences_with_chunks_of_prompts(depth):
    loop = loop_of(depth, max_num_batched_tokens=6)
    for i, length in enumerate([3, 20, 1, 33, 7, 2]):
        loop.add(str(i), prompt_of(length, i), 9)
    wanted = {str(i): reference(prompt_of(n, i), 9) for i, n in enumerate([3, 20, 1, 33, 7, 2])}
    assert loop.run() == wanted
    assert max(len(frame.positions) for frame in loop.runner.frames) == 6


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_longest_contexts_come_first_in_a_step(depth):
    loop = loop_of(depth)
    for i, length in enumerate([3, 20, 1, 33, 7, 20]):
        loop.add(str(i), prompt_of(length, i), 9)
    loop.run()
    steps = [f for f in loop.runner.frames if len(f.positions) == len(f.context_lengths) > 1]
    assert steps
    for frame in steps:
        assert (np.diff(frame.context_lengths) <= 0).all()


def test_a_step_is_planned_with_tokens_that_are_not_known_yet():
    scheduler = make_scheduler()
    request = Request(request_id="a", prompt_token_ids=np.array([1, 2], np.int32), max_tokens=9)
    frames = [scheduler.step(0.0, [Arrive(request)]).frame]
    frames += [scheduler.step(float(now), []).frame for now in (1, 2)]
    assert [list(frame.positions) for frame in frames] == [[0, 1], [2], [3]]
    assert scheduler.num_in_flight == 3


def test_a_step_is_not_planned_past_the_last_token():
    loop = loop_of(depth=3)
    loop.add("a", [5], 3)
    loop.run()
    assert [list(frame.positions) for frame in loop.runner.frames] == [[0], [1], [2]]


def test_a_decoding_sequence_gets_its_token_while_a_long_prompt_is_read():
    loop = loop_of(depth=0, max_num_batched_tokens=4)
    loop.add("a", [5], 10)
    loop.step()
    loop.add("long", prompt_of(40, 1), 1)
    loop.run()
    assert loop.finished["a"].times.finished_s < loop.finished["long"].times.finished_s
    assert loop.finished["a"].times.finished_s == 11.0


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_youngest_gives_way_when_pages_run_out_and_says_the_same_in_the_end(depth):
    loop = loop_of(depth, num_pages=17)
    for i in range(4):
        loop.add(str(i), prompt_of(6, i), 30)
    assert loop.run() == {str(i): reference(prompt_of(6, i), 30) for i in range(4)}
    assert loop.scheduler.num_preemptions > 0
    ends = [loop.finished[str(i)].times.finished_s for i in range(4)]
    assert ends == sorted(ends)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_sequence_that_just_fits_the_cache_runs_alone(depth):
    loop = loop_of(depth, num_pages=17)
    for i in range(3):
        loop.add(str(i), prompt_of(60, i), 4)
    assert loop.run() == {str(i): reference(prompt_of(60, i), 4) for i in range(3)}


def test_it_ends_at_the_end_of_the_context():
    loop = loop_of(max_model_len=20)
    loop.add("a", prompt_of(17), 100)
    assert loop.run() == {"a": reference(prompt_of(17), 3)}
    assert loop.finished["a"].finish_reason == "length"


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("num_stop_ids", [1, 3, 9])
def test_it_ends_at_a_stop_token_and_says_which(num_stop_ids, depth):
    said = reference([1, 2, 3], 8)
    stop_ids = tuple(v for v in range(250) if v not in said)[: num_stop_ids - 1] + (said[4],)
    loop = loop_of(depth)
    loop.add("a", [1, 2, 3], 8, stop_token_ids=stop_ids)
    assert loop.run()["a"] == said[: said.index(said[4]) + 1]
    end = loop.finished["a"]
    assert (end.finish_reason, end.stop_token_id) == ("stop", said[4])


def test_a_stop_token_counts_only_behind_the_fewest_tokens_asked_for():
    said = reference([1, 2, 3], 12)
    loop = loop_of()
    loop.add("a", [1, 2, 3], 12, stop_token_ids=tuple(set(said)), min_tokens=5)
    assert loop.run()["a"] == said[:6]


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_request_can_be_cancelled_while_it_waits_and_while_it_runs(depth):
    loop = loop_of(depth, max_num_seqs=1)
    for name in ("runs", "waits", "next"):
        loop.add(name, [9, 9], 20)
    for _ in range(3):
        loop.step()
    loop.events += [Cancel("waits", "abort"), Cancel("runs", "abort")]
    done = loop.run()
    assert done["waits"] == []
    assert done["runs"] == reference([9, 9], 20)[: len(done["runs"])]
    assert {loop.finished[name].finish_reason for name in ("runs", "waits")} == {"abort"}
    assert done["next"] == reference([9, 9], 20)
    assert loop.scheduler.cache.num_free_pages() == (64,)


def test_a_cancelled_request_keeps_as_many_tokens_as_its_owner_says():
    loop = loop_of(depth=0)
    loop.add("a", [3], 20)
    for _ in range(6):
        loop.step()
    loop.events.append(Cancel("a", "stop", num_tokens=2))
    assert loop.run() == {"a": reference([3], 2)}


def test_pages_of_an_ended_request_wait_for_the_step_in_flight():
    scheduler = make_scheduler(enable_prefix_caching=False)
    request = Request(request_id="a", prompt_token_ids=np.arange(9, dtype=np.int32), max_tokens=9)
    first = scheduler.step(0.0, [Arrive(request)]).frame
    scheduler.step(1.0, [Cancel("a", "abort")])
    assert scheduler.cache.num_free_pages() == (61,)
    assert scheduler.sequences.table.num_free == 3
    scheduler.step(2.0, [StepResult(first.step_id, np.array([7], np.int32))])
    assert scheduler.cache.num_free_pages() == (64,)
    assert scheduler.sequences.table.num_free == 4


def test_cancelling_what_is_unknown_does_nothing():
    assert make_scheduler().step(0.0, [Cancel("nobody", "abort")]).finished == ()


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_row_that_is_not_finite_ends_its_request_alone_and_leaves_no_page_behind(depth):
    loop = loop_of(depth)
    loop.runner.broken_prompts = {99}
    for name, prompt in (("good", prompt_of(20)), ("broken", [99, *prompt_of(19)])):
        loop.add(name, prompt, 5)
    assert loop.run() == {"good": reference(prompt_of(20), 5), "broken": []}
    assert loop.finished["broken"].finish_reason == "numeric_error"
    loop.runner.broken_prompts = set()
    loop.add("again", [99, *prompt_of(19)], 5)
    assert loop.run()["again"] == reference([99, *prompt_of(19)], 5)
    assert loop.finished["again"].num_cached_tokens == 0


@pytest.mark.parametrize("depth", DEPTHS)
def test_what_a_lost_executor_had_in_flight_is_computed_again(depth):
    loop = loop_of(depth)
    for i in range(6):
        loop.add(str(i), prompt_of(9, i), 12)
    for _ in range(7):
        loop.step()
    loop.runner.queue.clear()
    loop.runner.tags[:] = 0
    loop.events = [event for event in loop.events if not isinstance(event, StepResult)]
    loop.events.append(StepsLost())
    assert loop.run() == {str(i): reference(prompt_of(9, i), 12) for i in range(6)}


@pytest.mark.parametrize("depth", DEPTHS)
def test_whoever_is_computed_again_holds_up_nobody_who_began_alike(depth):
    loop = loop_of(depth, max_model_len=128)
    for name in "ab":
        loop.add(name, prompt_of(6), 100)
    while loop.scheduler.sequences.table.num_known.max() < 70:  # more than a step computes
        loop.step()
    loop.runner.queue.clear()
    loop.events = [StepsLost()]
    assert loop.run() == dict.fromkeys("ab", reference(prompt_of(6), 100))
    ends = [loop.finished[name].times.finished_s for name in "ab"]
    assert ends[1] - ends[0] < 10


def test_a_result_out_of_order_is_a_broken_invariant():
    scheduler = make_scheduler()
    request = Request(request_id="a", prompt_token_ids=np.array([1], np.int32), max_tokens=9)
    scheduler.step(0.0, [Arrive(request)])
    with pytest.raises(AssertionError, match="5 came for 0"):
        scheduler.step(1.0, [StepResult(5, np.array([7], np.int32))])
    scheduler = make_scheduler()
    scheduler.step(0.0, [Arrive(request)])
    with pytest.raises(AssertionError, match="2 tokens, 1 rows"):
        scheduler.step(1.0, [StepResult(0, np.array([7, 8], np.int32))])


def test_an_idle_scheduler_plans_nothing():
    plan = make_scheduler().step(0.0, [])
    assert plan.frame is None and plan.finished == ()


def test_ten_thousand_waiting_requests_are_cancelled_one_by_one():
    loop = loop_of(depth=0)
    names = [str(i) for i in range(10_000)]
    for name in names:
        loop.add(name, [1])
    loop.step()
    loop.events += [Cancel(name, "abort") for name in names]
    loop.run()
    assert len(loop.finished) == 10_000
    assert loop.scheduler.cache.num_free_pages() == (64,)


def test_the_same_events_give_the_same_plans():
    def trace():
        loop = loop_of(num_pages=17)
        for i in range(5):
            loop.add(str(i), prompt_of(5 + i, i), 12)
        loop.run()
        return loop.runner.tags.tobytes(), len(loop.runner.frames), loop.scheduler.num_preemptions

    assert trace() == trace()


requests_strategy = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(0, 30), st.integers(0, 60)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60)
@given(
    requests_strategy,
    st.integers(17, 40),
    st.integers(1, 6),
    st.integers(6, 40),
    st.integers(0, 3),
)
def test_every_request_ends_once_with_its_own_tokens(
    requests, num_pages, max_num_seqs, budget, depth
):
    loop = loop_of(
        depth, num_pages=num_pages, max_num_seqs=max_num_seqs, max_num_batched_tokens=budget
    )
    wanted, cancels = {}, {}
    for i, (length, count, steps, aborts) in enumerate(requests):
        loop.add(str(i), prompt_of(length, i % 3), count)
        wanted[str(i)] = reference(prompt_of(length, i % 3), count)
        if aborts % 3 == 0:
            cancels[str(i)] = Cancel(str(i), "abort")
        for _ in range(steps % 4):
            loop.step()
        if i % 2 and cancels:
            loop.events.append(cancels.popitem()[1])
    loop.events += cancels.values()
    for name, token_ids in loop.run().items():
        assert token_ids == wanted[name][: len(token_ids)]
        assert loop.finished[name].finish_reason == "abort" or token_ids == wanted[name]
    assert loop.finished.keys() == wanted.keys()
    assert loop.scheduler.cache.num_free_pages() == (num_pages - 1,)
