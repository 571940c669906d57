"""The works of an artifact for a GPU, on a fake driver: a launch takes a millisecond a block there,
and the artifact's kernels compute nothing."""

import re

import pytest

from tapeout.artifact import SlotBuffer
from tapeout.errors import InputError
from tapeout.runtime.cuda.errors import CudaError
from tapeout.tuning import gpu_works
from tapeout.tuning.gpu_space import GpuSpace
from tapeout.tuning.journal import Begun, Journal
from tapeout.tuning.search import Search

pytestmark = pytest.mark.slow


@pytest.fixture
def space(driver, tiny_gpu_artifact):
    opened = GpuSpace(tiny_gpu_artifact)
    yield opened
    opened.close()


def work_of(space, steps, kernel="silu"):
    return next(w for w in space.works() if w.key.steps == steps and kernel in w.key.kernel)


def built(space, work, *configurations):
    return [future.result() for future in space.compile(work, configurations)]


def test_every_kernel_with_a_choice_is_a_work_and_their_shares_add_up(space):
    works = space.works()
    assert sum(work.share for work in works) == pytest.approx(1)
    assert len({work.key for work in works}) == len(works)
    assert {work.key.steps for work in works} >= {"1 rows", "any rows", "16 sequences"}
    for work in works:
        assert space.candidates(work)[0] == work.configuration


def test_the_compilers_own_choice_is_launched_as_the_artifact_launches_it(space):
    """With what the kernels leave to each other elsewhere."""
    for work in space.works():
        found = space._works.by_key[work.key]
        [variant] = built(space, work, work.configuration)
        made = space._measures._launches(found, variant, found.calls)
        own = space._works.tapes[found.tape]
        wanted = [launch for call in found.calls for launch in own[call.begin : call.end]]
        for one, other in zip(made, wanted, strict=True):
            assert (one.scalars, one.grid) == (other.scalars, other.grid)
            operands = space._works.kernels[other.kernel].operands
            for operand, a, b in zip(operands, one.buffers, other.buffers, strict=True):
                is_own = operand.kind == "workspace"
                assert a == b or (is_own and isinstance(a, SlotBuffer)), operand


def test_a_variant_that_writes_what_the_artifact_writes_is_right(space):
    work = work_of(space, "any rows")
    [variant] = built(space, work, space.candidates(work)[1])
    assert space.wrong(work, variant) is None


def test_a_lost_device_ends_the_search_and_says_that_it_goes_on(space, monkeypatch):
    work = work_of(space, "any rows")
    [variant] = built(space, work, space.candidates(work)[1])
    space.check_alive()
    monkeypatch.setenv("FAKE_CUDA_LOST", "1")
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cuLaunchKernelEx:2")
    with pytest.raises(CudaError, match="cuLaunchKernelEx: CUDA_ERROR_ILLEGAL_ADDRESS"):
        space.wrong(work, variant)
    with pytest.raises(CudaError, match="a variant has ended the search, run again it goes on: .*"):
        space.check_alive()


def test_fewer_blocks_are_faster_here(space):
    work = work_of(space, "1 rows")
    more = next(one for one in space.candidates(work) if one["columns"] < 8)
    own, other = built(space, work, work.configuration, more)
    times = space.times(work, own, other, 3)
    assert len(times.first_s) == 3 and max(times.first_s) < min(times.second_s)
    steps = space.step_times(work.key.steps, {work.key: more}, 3)
    assert max(steps.first_s) < min(steps.second_s)


def test_a_search_ends_with_entries_that_make_whole_steps_faster(space, tmp_path, monkeypatch):
    work = work_of(space, "1 rows")
    monkeypatch.setattr(space, "works", lambda: [work])
    few = [one for one in space.candidates(work) if one["columns"] >= 8][-2:]
    monkeypatch.setattr(space, "candidates", lambda _: few)
    journal = Journal(tmp_path / "journal", Begun(artifact_digest="", device=space.device))
    search = Search(space, journal, {}, lambda progress: None)
    checks = search.run(300.0)
    [entry] = search.entries.values()
    assert entry.time_s < entry.before_s
    assert checks.ratios["1 rows"] < 1


def test_an_artifact_of_another_version_of_the_compiler_is_refused(
    driver, tiny_gpu_artifact, monkeypatch
):
    compile_program = gpu_works.compile_gpu_program

    def other(*arguments):
        program = compile_program(*arguments)
        for kernel, _ in program.kernels.values():
            object.__setattr__(kernel, "body", re.sub("sums0", "sum0", kernel.body))
        return program

    monkeypatch.setattr(gpu_works, "compile_gpu_program", other)
    with pytest.raises(InputError, match="was compiled by another tapeout.*compile the model anew"):
        GpuSpace(tiny_gpu_artifact)
