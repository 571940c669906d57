import numpy as np
import pytest
from fake_model import PAGE, VOCAB, build_fake, reference

from tapeout.errors import InputError
from tapeout.runtime.frame import Frame, SamplingFrame
from tapeout.runtime.load import open_model
from tapeout.runtime.memory import ALIGNMENT_BYTES
from tapeout.runtime.plan import Limits
from tapeout.runtime.player import Launch, PlayerError

LIMITS = Limits(max_num_seqs=8, max_num_batched_tokens=200, max_logit_rows=200)
PROMPTS = [[(5 * i + n) % VOCAB for i in range(n)] for n in (1, 33, 7, 100)]


def i32(values):
    return np.array(values, np.int32)


def frame_of(prompts, starts=None, rows=None):
    """Whole prompts, or what follows `starts` of each; each has pages of its own."""
    starts = starts or [0] * len(prompts)
    parts = [range(start, len(prompt)) for start, prompt in zip(starts, prompts, strict=True)]
    lengths = [len(part) for part in parts]
    pages, tables = iter(range(1, 1000)), np.zeros((len(prompts), 16), np.int32)
    for table in tables:
        table[:] = [next(pages) for _ in table]
    return Frame(
        token_ids=i32(
            [prompt[p] for prompt, part in zip(prompts, parts, strict=True) for p in part]
        ),
        positions=i32([p for part in parts for p in part]),
        sequence_ids=i32(np.repeat(np.arange(len(prompts)), lengths)),
        query_start=i32([0, *np.cumsum(lengths)]),
        context_lengths=i32([len(prompt) for prompt in prompts]),
        logit_rows=i32(range(sum(lengths)) if rows is None else rows),
        block_tables=(tables,),
    )


@pytest.fixture(params=[1, 2])
def loaded(fake, request):
    loaded = open_model(fake, LIMITS, num_threads=request.param)
    yield loaded
    loaded.executor.close()


def test_a_packed_step_gives_the_logits_of_every_row(loaded):
    logits = loaded.executor.step(frame_of(PROMPTS))
    assert logits.shape == (141, VOCAB) and logits.dtype == np.float32
    wanted = [reference(p[: i + 1], 1)[0] for p in PROMPTS for i in range(len(p))]
    assert list(logits.argmax(axis=1)) == wanted


def test_decode_and_chunks_mix_in_one_step(loaded):
    starts = [0, 32, 3, 50]
    begun = [prompt[: start or 1] for prompt, start in zip(PROMPTS, starts, strict=True)]
    loaded.executor.step(frame_of(begun))
    logits = loaded.executor.step(frame_of(PROMPTS, starts, rows=[0, 1, 5, 55]))
    assert list(logits.argmax(axis=1)) == [reference(p, 1)[0] for p in PROMPTS]


def test_a_step_that_wants_no_logits_gives_none(loaded):
    empty = SamplingFrame(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert loaded.executor.run(frame_of(PROMPTS, rows=[]), empty).shape == (0,)


def test_playing_only_the_first_launches_leaves_the_rest_undone(loaded):
    loaded.executor.step(frame_of(PROMPTS[:1]))
    before = loaded.executor.logits(1).copy()
    loaded.executor.run_until(frame_of([[9]]), 2)
    assert np.array_equal(loaded.executor.logits(1), before)
    loaded.executor.run_until(frame_of([[9]]), 3)
    assert loaded.executor.logits(1).argmax() == reference([9], 1)[0]


def test_a_step_beyond_the_bounds_is_a_broken_invariant(loaded):
    with pytest.raises(AssertionError, match="T=201"):
        loaded.executor.step(frame_of([[1] * 201], rows=[0]))


def test_what_is_allocated_is_what_the_plan_says_to_the_byte(loaded):
    plan, buffers = loaded.plan, loaded.executor.buffers
    assert buffers.arena.nbytes == plan.arena_bytes
    assert sum(cache.nbytes for cache in buffers.caches.values()) == plan.kv_cache_bytes
    assert buffers.num_bytes == plan.total_bytes
    assert plan.weights_bytes == 64


def test_every_buffer_is_aligned(loaded):
    tape = [launch for entry in ("step", "sample") for launch in tape_of(loaded, entry)]
    addresses = [loaded.executor.buffers.address(b) for launch in tape for b in launch.buffers]
    assert addresses and all(address % ALIGNMENT_BYTES == 0 for address in addresses)


def tape_of(loaded, entry):
    from tapeout.artifact import Artifact

    return Artifact.open(loaded.folder).tape("cpu", entry).launches


def test_layers_of_a_group_lie_one_after_the_other(loaded):
    first, second = tape_of(loaded, "step")[:2]
    address = loaded.executor.buffers.address
    (num_pages,) = loaded.plan.num_pages
    assert address(second.buffers[4]) - address(first.buffers[4]) == num_pages * PAGE * 8


def test_a_kernel_that_is_missing_is_named(loaded):
    with pytest.raises(PlayerError, match="no_such_kernel"):
        loaded.executor._player.add_tape([Launch("no_such_kernel", [], [])])


def test_closing_twice_does_nothing(fake):
    executor = open_model(fake, LIMITS).executor
    executor.close()
    executor.close()
    with pytest.raises(AssertionError, match="closed"):
        executor.step(frame_of(PROMPTS[:1]))


@pytest.fixture(scope="module")
def two_levels(tmp_path_factory):
    path = tmp_path_factory.mktemp("levels") / "fake.tapeout"
    return build_fake(path, levels=("x86-64-v9", "x86-64-v3"))


def test_the_first_level_that_the_cpu_has_is_used(two_levels):
    assert open_model(two_levels, LIMITS).executor.level == "x86-64-v3"


def test_the_environment_can_ask_for_a_level(two_levels, monkeypatch):
    monkeypatch.setenv("TAPEOUT_CPU_LEVEL", "x86-64-v3")
    assert open_model(two_levels, LIMITS).executor.level == "x86-64-v3"
    monkeypatch.setenv("TAPEOUT_CPU_LEVEL", "x86-64-v4")
    with pytest.raises(InputError, match="TAPEOUT_CPU_LEVEL=x86-64-v4 .* x86-64-v9, x86-64-v3"):
        open_model(two_levels, LIMITS)


def test_the_environment_can_ask_for_threads(fake, monkeypatch):
    monkeypatch.setenv("TAPEOUT_NUM_THREADS", "3")
    assert open_model(fake, LIMITS).executor.num_threads == 3
    assert open_model(fake, LIMITS, num_threads=1).executor.num_threads == 1
    with pytest.raises(InputError, match="num_threads=0 .* 1 to 1024"):
        open_model(fake, LIMITS, num_threads=0)
