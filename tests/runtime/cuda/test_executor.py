import ctypes
import threading

import msgspec
import numpy as np
import pytest
from fake_cuda_model import counted, executor_of
from fake_model import NAN_TOKEN, VOCAB, reference
from fake_steps import PROMPTS, following, frame_of, last_rows

from tapeout.errors import CapacityError
from tapeout.runtime.cuda.errors import CudaError
from tapeout.runtime.frame import Edits, Sampling
from tapeout.runtime.limits import Limits
from tapeout.runtime.step_thread import StepError
from tapeout.verification.frames import i32


@pytest.fixture(params=["graphs", "tapes"])
def executor(model, request):
    """One that replays graphs, and one that has captured none."""
    made = executor_of(model, capture_s=60.0 if request.param == "graphs" else 0.0)
    yield made
    made.close()


def test_a_packed_step_gives_the_logits_of_every_row(executor):
    logits = executor.step(frame_of(PROMPTS))
    assert logits.shape == (141, VOCAB) and logits.dtype == np.float32
    wanted = [reference(p[: i + 1], 1)[0] for p in PROMPTS for i in range(len(p))]
    assert list(logits.argmax(axis=1)) == wanted


def test_decode_and_chunks_mix_in_one_step(executor):
    starts = [0, 32, 3, 50]
    begun = [prompt[: start or 1] for prompt, start in zip(PROMPTS, starts, strict=True)]
    executor.step(frame_of(begun))
    logits = executor.step(frame_of(PROMPTS, starts, rows=[0, 1, 5, 55]))
    assert list(logits.argmax(axis=1)) == [reference(p, 1)[0] for p in PROMPTS]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_a_chosen_token_feeds_the_next_step_on_the_device(executor, count):
    prompts = [[i, *PROMPTS[i % 3]] for i in range(count)]
    seeds = [(None, 3, -5, 2**63 - 1)[i % 4] for i in range(count)]
    samplings = [Sampling(temperature=s is not None, seed=s or 0) for s in seeds]
    frame = frame_of(prompts, rows=last_rows(prompts), samplings=samplings)
    steps = [frame := following(frame, i) if i else frame for i in range(8)]
    executor.submit(steps[0])
    results = []
    for step in steps[1:]:
        executor.submit(step)
        results.append(executor.wait())
    results.append(executor.wait())
    assert [result.step_id for result in results] == list(range(8))
    said = np.array([result.token_ids for result in results]).T.tolist()
    assert said == [reference(p, 8, seed) for p, seed in zip(prompts, seeds, strict=True)]


def test_steps_wait_for_their_turn_when_more_are_queued_than_there_is_room_for(executor):
    frame = frame_of(PROMPTS, rows=last_rows(PROMPTS))
    for step_id in range(7):
        executor.submit(frame)
        frame = following(frame, step_id + 1)
    said = np.array([executor.wait().token_ids for _ in range(7)]).T.tolist()
    assert said == [reference(prompt, 7) for prompt in PROMPTS]


def test_a_row_whose_next_token_is_known_gives_that(executor):
    result = executor.run(frame_of([PROMPTS[1]], rows=[3, 32]))
    assert result.token_ids.tolist() == [PROMPTS[1][4], reference(PROMPTS[1], 1)[0]]


def test_a_row_that_is_not_finite_gives_minus_one_and_others_stay(executor):
    frame = frame_of([[4, NAN_TOKEN, 5, 6], PROMPTS[1]], rows=[0, 1, 3, 36])
    best = reference(PROMPTS[1], 1)[0]
    assert executor.run(frame).token_ids.tolist() == [NAN_TOKEN, -1, -1, best]


def test_edits_and_masks_of_a_slot_are_kept_until_the_next_sequence(executor):
    [best] = reference([8, 9], 1)
    ban = Edits(i32([best]), np.float32([-np.inf]), i32([99]), i32([0, 1]), i32([9]))
    allowed = np.full(VOCAB // 32, -1, np.int32)
    allowed[0] = 0
    samplings = [Sampling(edits=ban), Sampling(mask=allowed), Sampling()]
    prompts = [[8, 9], [8, 9], [8, 9]]
    frame = frame_of(prompts, rows=[1, 3, 5], samplings=samplings)
    assert executor.run(frame).token_ids.tolist() == [0, best, best]
    again = msgspec.structs.replace(frame, arrivals=(), masks=((2, i32([1 << 5] + [0] * 9)),))
    assert executor.run(again).token_ids.tolist() == [0, best, 5]
    assert executor.run(frame_of(prompts, rows=[1, 3, 5])).token_ids.tolist() == [best] * 3


def test_logprobs_come_only_when_they_are_wanted(executor):
    assert executor.run(frame_of(PROMPTS)).logprobs is None
    result = executor.run(frame_of([PROMPTS[1]], rows=[3, 32], wants_logprobs=True))
    logits = executor.logits(2).astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    order = np.argsort(-logits, axis=1, kind="stable")[:, :20]
    found = result.logprobs
    assert found.top_token_ids.tolist() == order.tolist()
    assert np.allclose(found.top, np.take_along_axis(expected, order, axis=1))
    assert np.allclose(found.chosen, expected[[0, 1], result.token_ids])
    assert found.ranks.tolist() == [2, 1]


def test_results_do_not_change_with_later_steps(executor):
    first = executor.run(frame_of(PROMPTS, wants_logprobs=True))
    kept = first.token_ids.tolist(), first.logprobs.chosen.tolist()
    for _ in range(5):
        executor.run(frame_of([[1, 2, 3]] * 8, wants_logprobs=True))
    assert kept == (first.token_ids.tolist(), first.logprobs.chosen.tolist())


def test_a_step_that_cannot_be_fails_its_wait_and_all_later_ones(executor):
    good = frame_of(PROMPTS, rows=last_rows(PROMPTS))
    for frame in (good, frame_of([[1] * 201], rows=[0]), good):
        executor.submit(frame)
    assert executor.wait().token_ids[0] == reference(PROMPTS[0], 1)[0]
    for _ in range(2):
        with pytest.raises(StepError, match="T=201, the executor was made for 200"):
            executor.wait()
    with pytest.raises(StepError, match="T=201"):
        executor.run(good)


def test_a_step_that_wants_fewer_rows_than_it_has_tokens_is_no_decode_step(executor):
    tapes = executor._tapes.by_name
    all_rows, fewer = frame_of([[5], [6]]), frame_of([[5], [6]], rows=[1])
    assert executor._form("step", all_rows.dims) is tapes["step.decode2"]
    assert executor._form("step", fewer.dims) is tapes["step.any"]
    assert executor._graphs.find(fewer.dims) is None
    assert executor.run(fewer).token_ids.tolist() == reference([6], 1)


def test_a_decode_step_whose_rows_are_in_another_order_is_refused(executor):
    executor.submit(frame_of([[5], [6]], rows=[1, 0]))
    with pytest.raises(StepError, match=r"logit_rows=\[1 0\] of a decode step are not 0, 1, ..."):
        executor.wait()


def test_launches_can_be_played_one_after_another(executor):
    executor.step(frame_of(PROMPTS[:1]))
    before = executor.logits(1).copy()
    frame = frame_of([[9]])
    executor.send(frame)
    executor.play_part("step.any", frame, 0, 2)
    assert np.array_equal(executor.logits(1), before)
    executor.play_part("step.any", frame, 2, 3)
    assert executor.logits(1).argmax() == reference([9], 1)[0]


def test_closing_answers_every_step_and_may_be_done_twice(executor):
    for step_id in range(3):
        executor.submit(frame_of(PROMPTS, step_id=step_id))
    executor.close()
    executor.close()
    for _ in range(4):
        with pytest.raises(StepError, match="closed"):
            executor.wait()
    with pytest.raises(StepError, match="closed"):
        executor.run(frame_of(PROMPTS))


def test_who_waits_while_another_closes_is_answered(executor):
    answered = []

    def wait_for_all():
        for _ in range(3):
            try:
                answered.append(executor.wait())
            except StepError as error:
                answered.append(error)

    for _ in range(3):
        executor.submit(frame_of(PROMPTS))
    waiter = threading.Thread(target=wait_for_all)
    waiter.start()
    executor.close()
    waiter.join(10)
    assert not waiter.is_alive() and len(answered) == 3


def test_the_load_says_how_long_each_part_took_and_what_it_takes(executor):
    assert list(executor.startup_s) == ["context", "memory", "weights", "kernels", "graphs"]
    assert executor.device_bytes["planned"] == executor.plan.total_bytes
    assert list(executor.device_bytes) == ["context", "planned", "kernels, graphs and rounding"]


def test_decode_steps_are_one_copy_and_one_graph(driver, fake_cuda):
    executor = executor_of(fake_cuda[0])
    assert executor.graph_sizes == [1, 2, 4, 8]
    frame = frame_of(PROMPTS[:3], rows=last_rows(PROMPTS[:3]))
    executor.run(frame)
    before = [counted(driver, what) for what in ("copies_in", "graph_launches", "launches")]
    executor.run(following(frame, 1))
    after = [counted(driver, what) for what in ("copies_in", "graph_launches", "launches")]
    assert np.subtract(after, before).tolist() == [1, 1, 0]
    executor.close()


def test_what_arrives_is_copied_while_the_step_before_is_computed(driver, fake_cuda, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_AHEAD", "early")
    executor = executor_of(fake_cuda[0])
    tokens = ctypes.c_int32.from_address(executor._memory.tables["token_table"])
    executor.submit(frame_of([[5]], rows=[0]))
    executor.submit(frame_of([[6]], rows=[0], step_id=1))
    assert tokens.value == 6  # though nobody has waited for a step, so none has been computed
    executor.close()


def test_kernels_that_wait_by_themselves_may_begin_early(driver, fake_cuda):
    executor = executor_of(fake_cuda[0], capture_s=0.0)
    before = counted(driver, "early")
    executor.run(frame_of([[5]], rows=[0]))
    assert counted(driver, "early") - before == 2
    executor.close()


def test_without_time_to_capture_there_are_no_graphs(driver, fake_cuda):
    executor = executor_of(fake_cuda[0], capture_s=0.0)
    assert executor.graph_sizes == []
    executor.run(frame_of([[5]], rows=[0]))
    assert counted(driver, "graph_launches") == 0 or not executor.graph_sizes
    executor.close()


def test_a_load_for_thousands_of_sequences_has_room_for_its_graphs(model):
    most = {"max_num_seqs": 5000, "max_num_batched_tokens": 5000, "max_logit_rows": 5000}
    executor = executor_of(model, Limits(max_model_len=16, **most), capture_s=60.0)
    assert executor.graph_sizes[-3:] == [1008, 1016, 1024]
    executor.close()


FAILURES = {
    "cuDevicePrimaryCtxRetain": CudaError,
    "cuStreamCreate": CudaError,
    "cuMemAlloc_v2:2": CapacityError,
    "cuMemHostAlloc": CapacityError,
    "cuEventCreate:3": CudaError,
    "cuFuncSetAttribute": CudaError,
    "cuStreamBeginCapture_v2:2": CudaError,
    "cuLaunchKernelEx:3": CudaError,
    "cuGraphInstantiateWithFlags:2": CudaError,
    "cuStreamSynchronize": CudaError,
}


@pytest.mark.parametrize("call", FAILURES)
def test_a_call_that_fails_at_load_is_named_and_leaves_nothing_behind(
    driver, fake_cuda, monkeypatch, call
):
    monkeypatch.setenv("FAKE_CUDA_FAIL", call)
    with pytest.raises(FAILURES[call], match=call.split(":")[0]):
        executor_of(fake_cuda[0])


@pytest.mark.parametrize("call", ["cuGraphLaunch", "cuMemcpyHtoDAsync_v2", "cuEventSynchronize"])
def test_a_call_that_fails_in_a_step_fails_that_step_and_all_later_ones(
    driver, fake_cuda, monkeypatch, call
):
    executor = executor_of(fake_cuda[0])
    monkeypatch.setenv("FAKE_CUDA_FAIL", call)
    executor.submit(frame_of([[5]], rows=[0]))
    with pytest.raises(StepError, match=f"{call}: CUDA_ERROR_ILLEGAL_ADDRESS"):
        executor.wait()
    monkeypatch.delenv("FAKE_CUDA_FAIL")
    with pytest.raises(StepError, match=call):
        executor.run(frame_of([[5]], rows=[0]))
    executor.close()
