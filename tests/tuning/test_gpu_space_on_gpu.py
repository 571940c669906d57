"""Variants of kernels as the machine computes them."""

import random
from dataclasses import replace

import pytest
import torch
from models import tiny_config
from tuned_models import gpu_artifact

from tapeout.errors import BuildError
from tapeout.tuning.gpu_space import GpuSpace
from tapeout.tuning.gpu_works import GpuWork

pytestmark = pytest.mark.gpu


SHAPE = {"hidden_size": 1024, "intermediate_size": 3072, "vocab_size": 4096}
SHAPE |= {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64}
"""Wide enough for every kind of kernel to have candidates."""


@pytest.fixture(scope="module")
def space(shared_folder):
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("there is no GPU of Hopper's kind")
    opened = GpuSpace(gpu_artifact(shared_folder / "tuned-wide", tiny_config("llama", **SHAPE)))
    yield opened
    opened.close()


def test_variants_of_all_kinds_are_right_and_can_be_timed(space):
    works = [work for work in space.works() if len(space.candidates(work)) > 1]
    num_at_once = space.turns_ahead + 1
    for start in range(0, len(works), num_at_once):
        together = works[start : start + num_at_once]
        for work, made in [(work, space.compile(work, some_of(space, work))) for work in together]:
            own, *others = made
            assert space.wrong(work, own.result()) is None, work
            for future in others:
                try:
                    variant = future.result()
                except BuildError:  # it spills, or has too few stages
                    continue
                assert space.wrong(work, variant) is None, (work, variant.region.choice)
                times = space.times(work, own.result(), variant, 2)
                assert min(*times.first_s, *times.second_s) > 0


def some_of(space, work):
    """The artifact's own choice, and some others."""
    own, *others = space.candidates(work)
    return [own, *random.Random(0).sample(others, min(2, len(others)))]


@pytest.mark.parametrize(
    ("steps", "before", "after"),
    [
        ("128 rows", ", sums0)", ", sums0 * 1.2)"),
        ("16 rows", "= sums.reshape(", "= (sums * 1.2).reshape("),
    ],
    ids=["tile", "stream"],
)
def test_a_planted_wrong_kernel_is_told(space, monkeypatch, steps, before, after):
    emit = GpuWork.emit

    def planted(work, configuration):
        made = emit(work, configuration)
        bodies = [kernel.body.replace(before, after) for kernel in made.kernels]
        pairs = [*zip(made.kernels, bodies, strict=True)]
        assert any(body != kernel.body for kernel, body in pairs), "there is nothing to plant"
        return replace(made, kernels=tuple(replace(k, body=body) for k, body in pairs))

    work = next(w for w in space.works() if w.key.steps == steps and "silu" in w.key.kernel)
    monkeypatch.setattr(GpuWork, "emit", planted)
    [variant] = space.compile(work, [work.configuration])
    assert "is off by" in space.wrong(work, variant.result())


def test_whole_steps_are_timed_with_and_without_variants(space):
    works = [work for work in space.works() if work.key.steps == "16 rows"]
    times = space.step_times("16 rows", {work.key: work.configuration for work in works}, 5)
    assert sum(times.second_s) == pytest.approx(sum(times.first_s), rel=0.2)
