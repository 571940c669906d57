import pytest
from fake_cuda_model import TARGET, executor_of
from fake_steps import PROMPTS, following, frame_of, last_rows

from tapeout.artifact import Artifact, SlotBuffer
from tapeout.tuning.gpu_bench import GpuBench


@pytest.fixture
def executor(driver, fake_cuda):
    made = executor_of(fake_cuda[0])
    yield made
    made.close()


@pytest.fixture
def bench(executor, fake_cuda):
    """With the kernels of the artifact."""
    artifact = Artifact.open(fake_cuda[0])
    target = artifact.manifest.targets[TARGET]
    made = GpuBench(artifact.file_path(target.player), executor)
    for kernel in target.kernels:
        made.load(kernel.name, artifact.read(kernel.cubin.file), kernel.cubin)
    yield made
    made.close()


def launches_of(fake_cuda):
    return Artifact.open(fake_cuda[0]).tape(TARGET, "step.any").launches


def test_a_tape_of_the_bench_does_what_the_executors_own_does(executor, bench, fake_cuda):
    frame = frame_of(PROMPTS, rows=last_rows(PROMPTS))
    executor.run(frame)
    frame = following(frame, 1)
    wanted = executor.step(frame).copy()
    executor.device.call("zero", executor.place(SlotBuffer(0)).address, wanted.nbytes)
    bench.play(bench.add_once("step", launches_of(fake_cuda)), executor.dims_of(frame))
    assert (executor.logits(len(frame.logit_rows)) == wanted).all()


def test_pairs_of_tapes_are_timed_in_turns(executor, bench, fake_cuda):
    """A block of the fake device takes a millisecond."""
    frame = frame_of(PROMPTS, rows=last_rows(PROMPTS))
    executor.run(frame)
    executor.send(following(frame, 1))
    write, _, hash_pages, *_ = launches_of(fake_cuda)
    tapes = bench.add_once("one", [hash_pages]), bench.add_once("two", [write, hash_pages])
    times = bench.times(*tapes, (4, 4, 4, 16), 3)
    assert [round(1e3 * seconds) for seconds in times.first_s] == [4] * 3
    assert [round(1e3 * seconds) for seconds in times.second_s] == [10] * 3


def test_a_slot_that_no_artifact_has_is_reserved_once_and_larger_if_need_be(bench):
    slot = SlotBuffer(1000)
    bench.reserve(slot, 256)
    first = bench.address(slot, None)
    bench.reserve(slot, 128)
    assert bench.address(slot, None) == first and bench.num_bytes(slot) == 256
    bench.reserve(slot, 512)
    assert bench.num_bytes(slot) == 512
