import json

import msgspec
from small_artifact import write_small_artifact

from tapeout.artifact import Artifact
from tapeout.inspection.facts import facts_of
from tapeout.inspection.text import text_of


def test_a_record_counts_what_is_in_the_artifact(nano):
    artifact = Artifact.open(nano)
    facts, target = facts_of(artifact), artifact.manifest.targets["cpu"]
    assert facts.digest == (nano / "manifest.digest").read_text().strip()
    on_disk = [path for path in artifact.path.rglob("*") if path.is_file()]
    assert facts.files == len(on_disk) == sum(folder.files for folder in facts.folders)
    assert facts.bytes == sum(path.stat().st_size for path in on_disk)
    assert facts.bytes == sum(folder.bytes for folder in facts.folders)
    found = facts.targets["cpu"]
    for tape in found.tapes:
        launches = artifact.tape("cpu", tape.name).launches
        assert tape.num_launches == found.launches[tape.name] == len(launches)
        assert len(launches) == sum(run.count * len(run.launches) for run in tape.runs)
        used = sum(kernel.launches.get(tape.name, 0) for kernel in found.kernels)
        assert used == len(launches)
    assert [kernel.name for kernel in found.kernels] == [kernel.name for kernel in target.kernels]


def test_buffers_of_repeated_launches_say_how_they_go_on(nano):
    step = facts_of(Artifact.open(nano)).targets["cpu"].tapes[0]
    run = max(step.runs, key=lambda run: run.count)
    moving = [b for launch in run.launches for b in launch.buffers if b.index is not None]
    assert run.count > 1 and {b.kind for b in moving} == {"weight", "cache"}
    assert {(b.index, b.step) for b in moving} == {(0, 1)}
    written = [b for launch in run.launches for b in launch.buffers if b.is_written]
    assert written and {b.kind for b in written} == {"slot"}


def test_lives_are_within_the_launches_that_are_shown(nano):
    for tape in facts_of(Artifact.open(nano)).targets["cpu"].tapes:
        num_shown = sum(len(run.launches) for run in tape.runs)
        assert tape.lives and all(0 <= life.first <= life.last < num_shown for life in tape.lives)


def test_the_text_names_every_kernel_tape_and_slot(nano):
    facts = facts_of(Artifact.open(nano))
    text, target = text_of(facts), facts.targets["cpu"]
    assert facts.digest in text and "batch-invariant: yes" in text
    assert all(f"\n{kernel.name} " in text for kernel in target.kernels)
    assert all(f"\n{tape.name} " in text for tape in target.tapes)
    assert all(name in text for name in target.outputs)


def test_a_record_needs_no_operands(tmp_path):
    facts = facts_of(Artifact.open(write_small_artifact(tmp_path / "small.tapeout")))
    assert facts.targets["cpu"].tapes[0].lives == []
    assert json.loads(msgspec.json.encode(facts))["name"] == "small.tapeout"
    assert "embed" in text_of(facts)
