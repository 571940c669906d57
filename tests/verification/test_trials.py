import pytest

from tapeout.artifact import Artifact, Tape
from tapeout.runtime.plan import plan_memory
from tapeout.verification.load import limits_for
from tapeout.verification.trials import sizes_of, trials


def tape(max_rows=None, one_token_each=False):
    return Tape(launches=[], max_rows=max_rows, one_token_each=one_token_each)


@pytest.mark.parametrize(
    ("max_rows", "most", "sizes"),
    [(1, 64, [1]), (16, 64, [1, 15, 16]), (None, 64, [1, 63, 64]), (2, 64, [1, 2])],
)
def test_a_bucket_is_tried_with_1_with_one_less_and_full(max_rows, most, sizes):
    assert sizes_of(tape(max_rows), most) == sizes


def test_buckets_of_kernels_within_a_tape_are_tried_too():
    sizes = [1, 3, 4, 31, 32, 63, 64]
    assert sizes_of(tape(), 64, [1, 4, 32, 96]) == sizes
    assert sizes_of(tape(16), 64, [1, 4, 32, 96]) == [1, 15, 16]


@pytest.mark.parametrize("vocab_size", [2, 3, 2048])
def test_steps_keep_to_the_vocabulary(nano, vocab_size):
    artifact = Artifact.open(nano)
    limits = limits_for(artifact, artifact.manifest.targets["cpu"], "cpu")
    plan = plan_memory(artifact.manifest.targets["cpu"], 2048, limits)
    for _, frame in trials({"sample.any": tape()}, plan, vocab_size, []):
        for arrival in frame.arrivals:
            edits = arrival.sampling.edits
            tokens = [*arrival.token_ids, *(edits.token_ids if edits else ())]
            assert 0 <= min(tokens) <= max(tokens) < vocab_size


def test_steps_keep_to_the_plan_and_to_their_tape(nano):
    artifact = Artifact.open(nano)
    target = artifact.manifest.targets["cpu"]
    limits = limits_for(artifact, target, "cpu")
    plan = plan_memory(target, 2048, limits)
    tapes = {
        "step.decode16": tape(16, one_token_each=True),
        "step.rows128": tape(128),
        "step.any": tape(),
        "sample.any": tape(),
    }
    tried = list(trials(tapes, plan, 2048, []))
    assert [one.tape for one in tried] == [name for name in tapes for _ in range(3)]
    for name, frame in tried:
        assert all(dim <= bound for dim, bound in zip(frame.dims, plan.bounds, strict=True))
        if name == "step.decode16":
            assert frame.dims[0] == frame.dims[1] == frame.dims[2]
        pages = [set(row[row > 0].tolist()) for row in frame.block_tables[0]]
        assert sum(map(len, pages)) == len(set().union(*pages)), "sequences share a page"
    assert max(frame.context_lengths.max() for _, frame in tried) > 1500
