import numpy as np
import pytest
from tagged_runner import PAGE, Loop, make_scheduler, reference

from tapeout.runtime.frame import Sampling
from tapeout.runtime.request import Cancel, Mask

PROMPT = [(11 * i + 3) % 250 for i in range(40)]


def loop_of(depth=1, **options):
    return Loop(make_scheduler(**options), depth)


def order_of_ends(loop):
    return sorted(loop.finished, key=lambda name: loop.finished[name].times.finished_s)


@pytest.mark.parametrize("num_shared", [3, 4, 5, 7, 8, 9, 16])
def test_a_prompt_begins_with_the_pages_of_an_earlier_one(num_shared):
    loop = loop_of()
    loop.add("first", PROMPT[:20])
    loop.run()
    loop.add("second", PROMPT[:num_shared] + [1, 2, 3])
    assert loop.run()["second"] == reference(PROMPT[:num_shared] + [1, 2, 3], 4)
    assert loop.finished["second"].num_cached_tokens == num_shared // PAGE * PAGE


@pytest.mark.parametrize("length", [7, 8, 9, 20])
def test_a_whole_prompt_in_the_cache_still_computes_its_last_token(length):
    loop = loop_of()
    for name in ("first", "second"):
        loop.add(name, PROMPT[:length])
        assert loop.run()[name] == reference(PROMPT[:length], 4)
    assert loop.finished["second"].num_cached_tokens == (length - 1) // PAGE * PAGE


def test_a_conversation_goes_on_from_the_pages_of_its_answer():
    loop = loop_of()
    loop.add("first", PROMPT[:10], 15)
    answer = loop.run()["first"]
    loop.add("second", [*PROMPT[:10], *answer, 5, 6])
    loop.run()
    assert loop.finished["second"].num_cached_tokens == 24


def test_a_request_that_may_not_read_the_cache_computes_its_prompt():
    loop = loop_of()
    loop.add("first", PROMPT)
    loop.run()
    loop.add("second", PROMPT, reads_cache=False)
    assert loop.run()["second"] == reference(PROMPT, 4)
    assert loop.finished["second"].num_cached_tokens == 0


def test_only_what_begins_as_another_is_hashed_before_its_first_step_is_planned():
    loop = loop_of(max_num_batched_tokens=128)
    for name, prompt in (("new", PROMPT), ("same", PROMPT), ("other", PROMPT[::-1])):
        loop.add(name, prompt)
    loop.step()
    sequences, waiting = loop.scheduler.sequences, loop.scheduler.waiting
    new, other = (sequences.table.entry(sequences.slot_of[name]) for name in ("new", "other"))
    counts = [len(entry.page_hashes) for entry in (new, waiting.get("same"), other)]
    assert counts == [1, len(PROMPT) // PAGE, 1]
    loop.step()
    assert new.page_hashes == waiting.get("same").page_hashes


def test_requests_of_unlike_salts_share_nothing():
    loop = loop_of()
    loop.add("first", PROMPT, cache_salt=b"one")
    loop.run()
    loop.add("second", PROMPT, cache_salt=b"two")
    loop.run()
    assert loop.finished["second"].num_cached_tokens == 0


def test_equal_prompts_that_come_together_are_computed_once():
    loop = loop_of(max_num_batched_tokens=128, max_num_seqs=8)
    for i in range(8):
        loop.add(str(i), PROMPT[:33], seed=i)
    assert loop.run() == {str(i): reference(PROMPT[:33], 4, i) for i in range(8)}
    assert [loop.finished[str(i)].num_cached_tokens for i in range(8)] == [0] + [32] * 7


@pytest.mark.parametrize("num_pages, num_admitted", [(9, 2), (10, 3), (13, 4), (64, 4)])
def test_requests_that_come_together_are_admitted_as_long_as_each_has_room_beside_the_others(
    num_pages, num_admitted
):
    loop = loop_of(num_pages=num_pages, max_num_seqs=4, max_num_batched_tokens=128)
    for i in range(4):
        loop.add(str(i), [i] * 12, 2)
    loop.step()
    assert len(loop.scheduler.sequences.running) == num_admitted
    assert loop.run() == {str(i): reference([i] * 12, 2) for i in range(4)}


def test_others_overtake_a_request_that_waits_for_pages_in_the_making():
    loop = loop_of(max_num_batched_tokens=8)
    for name, prompt in (("a", PROMPT), ("same", PROMPT), ("other", [5, 6])):
        loop.add(name, prompt, 1)
    loop.run()
    assert order_of_ends(loop)[-1] == "same"


def test_who_waits_for_pages_goes_on_when_their_maker_is_cancelled():
    loop = loop_of(max_num_batched_tokens=8)
    loop.add("a", PROMPT)
    loop.add("same", PROMPT)
    loop.step()
    loop.events.append(Cancel("a", "abort"))
    assert loop.run()["same"] == reference(PROMPT, 4)


def test_a_better_priority_goes_first_and_is_not_the_one_to_give_way():
    loop = loop_of(num_pages=17, max_num_seqs=4)
    for i, priority in enumerate([5, 0, 5, -1]):
        loop.add(str(i), [i] * 12, 30, priority=priority)
    assert loop.run() == {str(i): reference([i] * 12, 30) for i in range(4)}
    assert loop.scheduler.num_preemptions > 0
    assert order_of_ends(loop) == ["3", "1", "0", "2"]


def test_a_tenant_with_many_requests_does_not_hold_up_another():
    loop = loop_of(max_num_seqs=2)
    for i in range(20):
        loop.add(f"many{i}", [i] * 8, 4, tenant="many")
    for _ in range(4):
        loop.step()
    loop.add("one", [77] * 8, 4, tenant="few")
    loop.run()
    assert order_of_ends(loop).index("one") <= 5
    assert len(loop.scheduler.tenants) == 0


def test_a_request_ends_at_its_deadline_wherever_it_is():
    loop = loop_of(max_num_seqs=1)
    loop.add("runs", [1], 40, deadline_s=9.0)
    loop.add("waits", [2], 40, deadline_s=4.0)
    loop.add("ends", [3], 2, deadline_s=50.0)
    done = loop.run()
    assert done["waits"] == [] and done["runs"] == reference([1], 40)[: len(done["runs"])]
    assert loop.finished["waits"].times.finished_s == 4.0
    assert loop.finished["runs"].times.finished_s == 9.0
    reasons = [loop.finished[name].finish_reason for name in ("runs", "waits", "ends")]
    assert reasons == ["timeout", "timeout", "length"]


def test_the_queue_says_when_it_has_no_room():
    loop = loop_of(max_num_seqs=1, max_num_waiting=2, max_waiting_tokens=10)
    assert loop.scheduler.refusal(2, 10) is None
    assert "max_num_waiting=2" in loop.scheduler.refusal(3, 3)
    assert "max_waiting_tokens=10" in loop.scheduler.refusal(1, 11)
    for name in "abc":
        loop.add(name, [4] * 4)
    loop.step()
    assert "the queue would hold 3" in loop.scheduler.refusal(1, 1)


def test_each_token_of_a_masked_request_waits_for_its_mask():
    loop = loop_of(depth=2)
    loop.add("masked", PROMPT[:6], 3, masked=True)
    loop.add("free", [7], 12)
    said = reference(PROMPT[:6], 3)
    for count in range(3):
        for _ in range(3):
            loop.step()
        assert len(loop.scheduler.sequences.running) + len(loop.scheduler.waiting) == 2
        loop.events.append(Mask("masked", count + 1, np.array([9], np.int32)))  # for another length
        loop.events.append(Mask("masked", count, np.array([count], np.int32)))
    assert loop.run() == {"masked": said, "free": reference([7], 12)}
    masks = [list(mask) for frame in loop.runner.frames for _, mask in frame.masks]
    assert masks == [[0], [1], [2]]


def test_a_masked_request_may_bring_its_first_mask_and_keeps_it_when_preempted():
    loop = loop_of(depth=0)
    sampling = Sampling(temperature=1.0, mask=np.array([5], np.int32))
    loop.add("a", PROMPT[:6], 2, masked=True, sampling=sampling)
    loop.step()
    loop.step()
    (slot,) = loop.scheduler.sequences.running
    loop.events.append(Mask("a", 1, np.array([6], np.int32)))
    loop.scheduler._preempt(int(slot))
    assert loop.run() == {"a": reference(PROMPT[:6], 2)}
    assert [list(a.sampling.mask) for f in loop.runner.frames for a in f.arrivals] == [[5], [6]]


@pytest.mark.parametrize("max_logit_rows", [4, 7, 64])
@pytest.mark.parametrize("depth", [0, 2])
def test_every_token_of_a_prompt_is_scored_once(max_logit_rows, depth):
    loop = loop_of(depth, max_logit_rows=max_logit_rows, num_pages=22)
    for i in range(3):
        sampling = Sampling(temperature=1.0, num_prompt_logprobs=2)
        prompt = PROMPT[i : 20 + 3 * i]
        loop.add(str(i), prompt, 25, sampling=sampling, watched=True, reads_cache=False)
    loop.run()
    assert loop.scheduler.num_preemptions > 0
    assert max(len(f.logit_rows) for f in loop.runner.frames) <= max_logit_rows
    for i in range(3):
        own = [p for p in loop.progress if p.request_id == str(i)]
        assert sum(p.num_rows for p in own if p.is_prompt) == 20 + 3 * i - i - 1
        assert sum(p.num_rows for p in own if not p.is_prompt) == 25


def test_a_watched_request_sees_each_token_as_it_comes():
    loop = loop_of(depth=0)
    loop.add("seen", [1, 2], 5, watched=True)
    loop.add("unseen", [3], 5)
    loop.run()
    assert [(p.request_id, p.num_rows) for p in loop.progress] == [("seen", 1)] * 5
