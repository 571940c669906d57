import os
import signal
import threading
import time

import msgspec
import numpy as np
import pytest
from fake_model import NAN_TOKEN, PAGE, VOCAB, build_fake, reference

from tapeout.artifact import Artifact
from tapeout.errors import InputError
from tapeout.runtime.executor import Executor
from tapeout.runtime.frame import Edits, Sampling
from tapeout.runtime.limits import Limits
from tapeout.runtime.memory import ALIGNMENT_BYTES
from tapeout.runtime.plan import plan_memory
from tapeout.runtime.player import Launch, PlayerError
from tapeout.runtime.step_thread import StepError
from tapeout.verification.frames import i32, packed_frame

LENGTH = 200
LIMITS = Limits(
    max_model_len=LENGTH, max_num_seqs=8, max_num_batched_tokens=200, max_logit_rows=200
)
PROMPTS = [[(5 * i + n) % VOCAB for i in range(n)] for n in (1, 33, 7, 100)]


def executor_of(folder, num_threads=None):
    artifact = Artifact.open(folder)
    target, model = artifact.manifest.targets["cpu"], artifact.manifest.model
    plan = plan_memory(target, model.max_position_embeddings, LIMITS)
    return Executor(artifact, plan, num_threads)


def frame_of(prompts, starts=None, rows=None, **options):
    """Whole prompts, or what follows `starts` of each; each has pages of its own."""
    starts = starts or [0] * len(prompts)
    spans = [range(start, len(prompt)) for start, prompt in zip(starts, prompts, strict=True)]
    table = i32(1 + np.arange(len(prompts) * 13).reshape(len(prompts), 13))
    return packed_frame(prompts, spans, (table,), LENGTH, rows, **options)


def last_rows(prompts):
    return np.cumsum([len(prompt) for prompt in prompts]) - 1


@pytest.fixture(params=[1, 2])
def executor(fake, request):
    executor = executor_of(fake, num_threads=request.param)
    yield executor
    executor.close()


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


def test_a_chosen_token_feeds_the_next_step_on_the_device(executor):
    seeds = [None, 3, -5, 2**63 - 1]
    samplings = [Sampling(temperature=s is not None, seed=s or 0) for s in seeds]
    frame = frame_of(PROMPTS, rows=last_rows(PROMPTS), samplings=samplings)
    executor.submit(frame)
    for step_id in range(1, 8):
        executor.submit(frame := following(frame, step_id))
    results = [executor.wait() for _ in range(8)]
    assert [result.step_id for result in results] == list(range(8))
    said = np.array([result.token_ids for result in results]).T.tolist()
    assert said == [reference(p, 8, seed) for p, seed in zip(PROMPTS, seeds, strict=True)]


def following(frame, step_id):
    """The decode step after another: it has the tokens that are sampled there."""
    count = len(frame.context_lengths)
    return msgspec.structs.replace(
        frame,
        step_id=step_id,
        token_places=frame.sample_places,
        positions=i32(frame.sample_positions),
        sequence_ids=i32(np.arange(count)),
        query_start=i32(np.arange(count + 1)),
        context_lengths=frame.context_lengths + np.int32(1),
        logit_rows=i32(np.arange(count)),
        sample_positions=frame.sample_positions + 1,
        sample_places=frame.sample_places + np.int32(1),
        arrivals=(),
    )


def test_a_row_whose_next_token_is_known_gives_that(executor):
    result = executor.run(frame_of([PROMPTS[1]], rows=[3, 32]))
    assert result.token_ids.tolist() == [PROMPTS[1][4], reference(PROMPTS[1], 1)[0]]


def test_a_row_that_is_not_finite_gives_minus_one_and_others_stay(executor):
    broken = [4, NAN_TOKEN, 5, 6]
    frame = frame_of([broken, PROMPTS[1]], rows=[0, 1, 3, 36])
    assert executor.run(frame).token_ids.tolist() == [
        NAN_TOKEN,
        -1,
        -1,
        reference(PROMPTS[1], 1)[0],
    ]
    assert executor.buffers.inputs["token_table"][4] == 0  # a step in flight reads it


def test_edits_and_masks_of_a_slot_are_kept_until_the_next_sequence(executor):
    [best] = reference([8, 9], 1)
    ban = Edits(i32([best]), np.float32([-np.inf]), i32([99]), i32([0, 1]), i32([9]))
    allowed = np.full(VOCAB // 32, -1, np.int32)
    allowed[0] = 0
    samplings = [Sampling(edits=ban), Sampling(mask=allowed), Sampling()]
    prompts = [[8, 9], [8, 9], [8, 9]]
    frame = frame_of(prompts, rows=[1, 3, 5], samplings=samplings)
    assert best >= 32, "else the mask forbids it"
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
    executor.run(frame_of([[1, 2, 3]] * 8, wants_logprobs=True))
    assert kept == (first.token_ids.tolist(), first.logprobs.chosen.tolist())


def test_a_step_that_fails_fails_its_wait_and_all_later_ones(executor):
    good = frame_of(PROMPTS, rows=last_rows(PROMPTS))
    bad = frame_of([[1] * 201], rows=[0])
    for frame in (good, bad, good):
        executor.submit(frame)
    assert executor.wait().token_ids[0] == reference(PROMPTS[0], 1)[0]
    for _ in range(2):
        with pytest.raises(StepError, match="T=201, the executor was made for 200"):
            executor.wait()
    with pytest.raises(StepError, match="T=201"):
        executor.run(good)


@pytest.mark.parametrize("num_steps", [0, 1, 5])
def test_closing_never_hangs_and_answers_every_step(fake, num_steps):
    executor = executor_of(fake)
    slow = threading.Event()
    play = executor._play
    executor._play = lambda *args: (slow.set(), time.sleep(0.01), play(*args))
    for step_id in range(num_steps):
        executor.submit(frame_of(PROMPTS, step_id=step_id))
    assert num_steps == 0 or slow.wait(10)
    executor.close()
    assert not executor._thread._thread.is_alive()
    if num_steps:
        assert executor.wait().step_id == 0
    for _ in range(num_steps):
        with pytest.raises(StepError, match="closed"):
            executor.wait()


def test_who_waits_while_another_closes_is_answered(fake):
    executor = executor_of(fake)
    answered = []

    def wait_twice():
        for _ in range(2):
            try:
                answered.append(executor.wait())
            except StepError as error:
                answered.append(error)

    play, is_playing = executor._play, threading.Event()
    executor._play = lambda *args: (is_playing.set(), time.sleep(0.05), play(*args))
    executor.submit(frame_of(PROMPTS))
    executor.submit(frame_of(PROMPTS))
    waiter = threading.Thread(target=wait_twice)
    waiter.start()
    is_playing.wait(10)
    executor.close()
    waiter.join(10)
    assert not waiter.is_alive() and isinstance(answered[1], StepError)


def test_launches_can_be_played_one_after_another(executor):
    executor.step(frame_of(PROMPTS[:1]))
    before = executor.logits(1).copy()
    frame = frame_of([[9]])
    executor.send(frame)
    executor.play_part("step", frame, 0, 2)
    assert np.array_equal(executor.logits(1), before)
    executor.play_part("step", frame, 2, 3)
    assert executor.logits(1).argmax() == reference([9], 1)[0]


def test_a_step_beyond_the_bounds_is_a_broken_invariant(executor):
    with pytest.raises(AssertionError, match="T=201"):
        executor.step(frame_of([[1] * 201], rows=[0]))


def test_what_is_allocated_is_what_the_plan_says_to_the_byte(executor):
    plan, buffers = executor.plan, executor.buffers
    assert buffers.arena.nbytes == plan.arena_bytes
    assert sum(cache.nbytes for cache in buffers.caches.values()) == plan.kv_cache_bytes
    assert buffers.num_bytes == plan.total_bytes
    assert plan.weights_bytes == 64


def test_every_buffer_is_aligned(fake, executor):
    tape = [launch for entry in ("step", "sample") for launch in tape_of(fake, entry)]
    addresses = [executor.buffers.address(b) for launch in tape for b in launch.buffers]
    assert addresses and all(address % ALIGNMENT_BYTES == 0 for address in addresses)


def tape_of(folder, entry):
    return Artifact.open(folder).tape("cpu", entry).launches


def test_layers_of_a_group_lie_one_after_the_other(fake, executor):
    first, second = tape_of(fake, "step")[:2]
    address = executor.buffers.address
    (num_pages,) = executor.plan.num_pages
    assert address(second.buffers[5]) - address(first.buffers[5]) == num_pages * PAGE * 8


def test_a_kernel_that_is_missing_is_named(executor):
    with pytest.raises(PlayerError, match="no_such_kernel"):
        executor._player.add_tape([Launch("no_such_kernel", [], [])])


def test_closing_twice_does_nothing(fake):
    executor = executor_of(fake)
    executor.close()
    executor.close()
    with pytest.raises(AssertionError, match="closed"):
        executor.step(frame_of(PROMPTS[:1]))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_the_process_that_closes_waits_for_no_thread_of_another(fake):
    executor = executor_of(fake, num_threads=2)
    child = os.fork()
    if child == 0:
        executor.close()
        os._exit(0)
    end_s = time.monotonic() + 20
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end_s:
            os.kill(child, signal.SIGKILL)
            pytest.fail("it hangs")
        time.sleep(0.01)
    executor.run(frame_of(PROMPTS[:1]))
    executor.close()


@pytest.fixture(scope="module")
def two_levels(tmp_path_factory):
    path = tmp_path_factory.mktemp("levels") / "fake.tapeout"
    return build_fake(path, levels=("x86-64-v9", "x86-64-v3"))


def test_the_first_level_that_the_cpu_has_is_used(two_levels):
    assert executor_of(two_levels).level == "x86-64-v3"


def test_the_environment_can_ask_for_a_level(two_levels, monkeypatch):
    monkeypatch.setenv("TAPEOUT_CPU_LEVEL", "x86-64-v3")
    assert executor_of(two_levels).level == "x86-64-v3"
    monkeypatch.setenv("TAPEOUT_CPU_LEVEL", "x86-64-v4")
    said = "TAPEOUT_CPU_LEVEL=x86-64-v4 cannot be used: .* x86-64-v9, x86-64-v3, .*; set it to one"
    with pytest.raises(InputError, match=said):
        executor_of(two_levels)


def test_an_artifact_without_a_level_of_this_cpu_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match="has x86-64-v9, and of these this CPU runs none; compile"):
        executor_of(build_fake(tmp_path / "fake.tapeout", levels=("x86-64-v9",)))


def test_the_environment_can_ask_for_threads(fake, monkeypatch):
    monkeypatch.setenv("TAPEOUT_NUM_THREADS", "3")
    assert executor_of(fake).num_threads == 3
    assert executor_of(fake, 1).num_threads == 1
    with pytest.raises(InputError, match="num_threads=0 .* 1 to 1024"):
        executor_of(fake, 0)
