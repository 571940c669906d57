import random

import pytest
from found_tables import table_of

from tapeout.codegen.cpp.choices import BUCKETS, default_configuration
from tapeout.tuning import cpu_variants
from tapeout.tuning.cpu_space import CpuSpace
from tapeout.tuning.journal import Begun, Journal
from tapeout.tuning.rebuild import rebuild
from tapeout.tuning.search import Search

PLANTED = {"unit_blocks": 8, "unit_rows": 48, "tile_rows": 6, "tile_blocks": 8, "prefetch": 64}


@pytest.fixture(scope="module")
def space(nano):
    made = CpuSpace(nano, num_threads=2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def works(space):
    return {work.name: work for work in space.works()}


def test_the_works_are_the_products_in_every_bucket_that_steps_have(works):
    names = {bucket.name for bucket in BUCKETS}
    assert {work.key.steps for work in works.values()} == names
    assert {work.key.kernel.split()[0] for work in works.values()} == {"linear"}
    assert "linear any" not in works, "the head has few rows in a step of prompts"
    assert sum(work.share for work in works.values()) == pytest.approx(1)


def test_every_candidate_gives_the_bits_of_our_own_choice(space, works):
    for work in random.Random(0).sample(sorted(works.values()), 3):
        drawn = random.Random(1).sample(space.candidates(work), 4)
        built = [one.result() for one in space.compile(work, [work.configuration, *drawn])]
        assert [space.wrong(work, one) for one in built] == [None] * 5


def test_a_variant_takes_as_long_as_itself(space, works):
    work = works["linear_silu_mul rows8"]
    own, other = (one.result() for one in space.compile(work, [work.configuration] * 2))
    times = space.times(work, own, other, 40)
    faster = sum(b < 0.99 * a for a, b in zip(times.first_s, times.second_s, strict=True))
    assert faster <= 36 and len(times.first_s) == 40 and min(times.first_s) > 0


def test_a_planted_fast_but_wrong_kernel_is_never_accepted(space, works, tmp_path, monkeypatch):
    real = cpu_variants.emit_region

    def planted(function, packed, asked):
        made = real(function, packed, asked)
        if PLANTED not in [one for known in asked.values() for one in known.values()]:
            return made
        body = "TAPEOUT_KERNEL(NAME) {\n    if (launch->scalars[0]) return;"
        body = made.body.replace("TAPEOUT_KERNEL(NAME) {", body)
        head = made.source.partition("TAPEOUT_KERNEL")[0]
        return type(made)(**{**made.__dict__, "source": head + body.replace("NAME", made.name)})

    monkeypatch.setattr(cpu_variants, "emit_region", planted)
    work = works["linear_silu_mul any"]
    monkeypatch.setattr(space, "works", lambda: [work])
    monkeypatch.setattr(space, "candidates", lambda work: [PLANTED])
    timed = []
    times = space.times
    monkeypatch.setattr(
        space, "times", lambda work, *pair: timed.extend(pair[:2]) or times(work, *pair)
    )
    journal = Journal(tmp_path / "journal", Begun(artifact_digest="0", device=space.device))
    search = Search(space, journal, {work.key: PLANTED}, lambda progress: None)
    search.run(120.0)  # it ends with its one candidate
    trial = journal.lines[0]
    assert (trial.configuration, trial.outcome) == (PLANTED, "wrong")
    assert "bytes differ" in trial.reason and trial.ratio is None
    assert all(entry.configuration != PLANTED for entry in search.entries.values())


def test_what_an_artifact_has_from_a_table_is_what_its_candidates_must_beat(nano, tmp_path):
    table = table_of(nano)
    tuned = CpuSpace(rebuild(nano, tmp_path / "tuned.tapeout", table), num_threads=2)
    asked = {entry.key: entry.configuration for entry in table.devices[0].entries}
    own = {work.key: work.configuration for work in tuned.works()}
    key = next(iter(asked))
    times = tuned.step_times("rows1", {key: PLANTED}, 1)
    tuned.close()
    assert {key: own[key] for key in asked} == asked
    ruled = [key for key in own if key.steps == "rows4"]
    assert all(own[key] == default_configuration(BUCKETS[1]) for key in ruled) and ruled
    assert len(times.first_s) == 1


def test_whole_steps_are_timed_with_and_without_other_choices(space, works):
    work = works["linear_silu_mul rows8"]
    times = space.step_times("rows8", {work.key: PLANTED}, 3)
    assert len(times.first_s) == len(times.second_s) == 3 and min(times.second_s) > 0


def test_the_limits_of_the_cpu_are_measured(space, works):
    assert space.memory_bytes_per_s > 1e9
    assert all(space.least_s(work) > 0 for work in works.values())
