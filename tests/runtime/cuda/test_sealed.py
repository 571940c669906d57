"""Artifacts for a GPU that are sealed with right digests and cannot be run: each says why."""

import msgspec
import pytest
from fake_cuda_model import TARGET
from resealed import reseal

from tapeout import LLM
from tapeout.artifact import Artifact, encode
from tapeout.errors import ArtifactError, InputError

replace = msgspec.structs.replace


def sealed(path, folder, target=lambda t: t, tape=lambda t: t, name=TARGET):
    """The artifact with its target and its tapes changed, and every digest right."""
    base = Artifact.open(folder)
    record = base.manifest.targets[TARGET]
    tapes = {file: encode(tape(base.tape(TARGET, entry))) for entry, file in record.tapes.items()}
    return reseal(folder, path, tapes, targets={name: target(record)})


def without(field, word):
    """A change to a target: it has none of a word in a field."""
    return lambda t: replace(
        t, **{field: {name: value for name, value in getattr(t, field).items() if word not in name}}
    )


def no_cubins(target):
    return replace(target, kernels=[replace(kernel, cubin=None) for kernel in target.kernels])


def grids(change):
    """A change to a tape: to the first of each launch's terms."""
    return lambda t: replace(
        t, launches=[replace(la, grid=[*change(la.grid[0]), *la.grid[1:]]) for la in t.launches]
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": without("tapes", "step.any")}, "no tapes.step for any step"),
        ({"target": without("tapes", "sample")}, "no tapes.sample for any step"),
        ({"target": without("outputs", "ranks")}, "no outputs.ranks"),
        ({"target": without("outputs", "sampled")}, "no outputs.sampled"),
        ({"target": no_cubins}, "no kernels.write_tags.cubin"),
        ({"tape": grids(lambda _: [])}, r"launches\[0\].grid: found 2, wanted three terms"),
    ],
)
def test_a_target_that_lacks_what_a_step_needs_is_refused_by_its_name(
    driver, fake_cuda, tmp_path, change, words
):
    path = sealed(tmp_path / "sealed.tapeout", fake_cuda[0], **change)
    with pytest.raises(ArtifactError, match=words):
        LLM(path, max_num_seqs=2)


@pytest.mark.parametrize("name", ["cuda:sm_", "cuda:sm_90a", "cuda:sm_-90", "cuda:90"])
def test_a_target_of_no_gpu_is_refused_by_its_name(fake_cuda, tmp_path, name):
    with pytest.raises(ArtifactError, match=f"targets: found {name}, wanted cuda:sm_ and the"):
        sealed(tmp_path / "sealed.tapeout", fake_cuda[0], name=name)


def test_a_step_that_no_gpu_could_launch_is_refused_before_anything_is_loaded(
    driver, fake_cuda, tmp_path
):
    """Along the second axis of a grid there are 65535 blocks at most."""
    turned = sealed(
        tmp_path / "turned.tapeout",
        fake_cuda[0],
        tape=lambda t: replace(
            t, launches=[replace(la, grid=[la.grid[i] for i in (1, 0, 2)]) for la in t.launches]
        ),
    )
    LLM(turned, max_num_batched_tokens=65535, max_num_seqs=2)._close()
    with pytest.raises(
        InputError,
        match="max_num_batched_tokens=65536 and max_num_seqs=2 needs 65538 blocks of write_tags "
        "side by side, more than the 65535 of a GPU; lower one of the two",
    ):
        LLM(turned, max_num_batched_tokens=65536, max_num_seqs=2)
