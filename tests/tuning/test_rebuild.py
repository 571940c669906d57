from pathlib import Path

import numpy as np
from cpu import native_levels

from tapeout import LLM, SamplingParams, compile_model
from tapeout.artifact import Artifact
from tapeout.artifact.choices import read_choices
from tapeout.artifact.tuning_table import Device, DeviceEntries, Entry, Table, write_table
from tapeout.codegen.cpp.choices import BUCKETS, default_configuration
from tapeout.tuning.rebuild import rebuild

NANO = Path(__file__).parents[2] / "examples" / "nano" / "checkpoint"
LEVEL = native_levels()[0]
CHANGED = {"unit_blocks": 8, "prefetch": 64}


def table_of(artifact):
    """Another configuration for every product of one row, and none for others."""
    entries = [
        Entry(
            key=choice.key,
            configuration=choice.configuration | CHANGED,
            time_s=1e-6,
            before_s=2e-6,
            least_s=None,
        )
        for choice in read_choices(Artifact.open(artifact), "cpu")
        if choice.key.steps == "rows1"
    ]
    device = Device(name="some CPU", arch=LEVEL, num_units=2)
    known = DeviceEntries(device=device, memory_bytes_per_s=None, entries=entries)
    return Table(devices=[known])


def files_of(artifact):
    return {name: file.digest for name, file in Artifact.open(artifact).manifest.files.items()}


def test_compiling_with_a_table_and_rebuilding_by_it_give_the_same_bytes(nano, tmp_path):
    table = table_of(nano)
    write_table(table, tmp_path / "table.json")
    compiled = compile_model(
        NANO, tmp_path / "compiled", tuning=tmp_path / "table.json", cpu_levels=[LEVEL]
    )
    rebuilt = rebuild(nano, tmp_path / "rebuilt", table)
    assert (rebuilt / "manifest.json").read_bytes() == (compiled / "manifest.json").read_bytes()
    assert files_of(rebuilt) != files_of(nano)


def test_without_a_table_a_rebuilt_artifact_is_the_old_one(nano, tmp_path):
    assert files_of(rebuild(nano, tmp_path / "same", Table())) == files_of(nano)


def test_a_tuned_artifact_says_where_its_choices_are_from_and_gives_the_same_tokens(nano, tmp_path):
    rebuilt = rebuild(nano, tmp_path / "rebuilt", table_of(nano))
    choices = read_choices(Artifact.open(rebuilt), "cpu")
    tuned = [choice for choice in choices if choice.origin == "table some CPU"]
    assert tuned and {choice.key.steps for choice in tuned} == {"rows1"}
    ours = default_configuration(BUCKETS[0])
    assert all(choice.configuration == ours | CHANGED for choice in tuned)
    assert all(choice.candidates[0].configuration == ours for choice in tuned)
    logprobs = [_logprobs(artifact) for artifact in (nano, rebuilt)]
    assert np.array_equal(*logprobs)


def _logprobs(artifact):
    params = SamplingParams(temperature=0, max_tokens=8, logprobs=1)
    [output] = LLM(artifact).generate(["Sort these words: pear fig apple"], params, use_tqdm=False)
    completion = output.outputs[0]
    return [
        step[token].logprob
        for step, token in zip(completion.logprobs, completion.token_ids, strict=True)
    ]
