from pathlib import Path

import numpy as np
from found_tables import CHANGED, LEVEL, table_of, table_with

from tapeout import LLM, SamplingParams, compile_model
from tapeout.artifact import Artifact
from tapeout.artifact.choices import read_choices
from tapeout.artifact.tuning_table import Table, merge, write_table
from tapeout.codegen.cpp.choices import BUCKETS, default_configuration
from tapeout.tuning.rebuild import rebuild

NANO = Path(__file__).parents[2] / "examples" / "nano" / "checkpoint"


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


def test_what_an_earlier_table_has_chosen_stays_where_a_new_one_knows_nothing(nano, tmp_path):
    first, second = table_of(nano), table_of(nano, "rows4", {"tile_rows": 6})
    once = rebuild(nano, tmp_path / "once", first)
    both = rebuild(nano, tmp_path / "both", merge([first, second]))
    assert files_of(rebuild(once, tmp_path / "same", Table())) == files_of(once) != files_of(nano)
    assert files_of(rebuild(once, tmp_path / "twice", second)) == files_of(both)


def test_a_new_table_goes_before_an_earlier_one(nano, tmp_path):
    second = table_of(nano, changed={"unit_blocks": 4})
    once = rebuild(nano, tmp_path / "once", table_of(nano))
    twice = rebuild(once, tmp_path / "twice", second)
    assert files_of(twice) == files_of(rebuild(nano, tmp_path / "second", second))


def test_what_a_table_has_for_one_level_stays_with_it(tmp_path):
    lowest, other = "x86-64-v3", "x86-64-v4"
    artifact = compile_model(NANO, tmp_path / "nano", cpu_levels=[other, lowest])
    once = rebuild(artifact, tmp_path / "once", table_of(artifact, level=lowest))
    again = rebuild(once, tmp_path / "again", table_of(artifact, "rows4", level=other))
    levels = {c.key.steps: c.level for c in read_choices(Artifact.open(again), "cpu") if c.device}
    assert levels == {"rows1": lowest, "rows4": other}
    assert files_of(rebuild(again, tmp_path / "same", Table())) == files_of(again)


def test_kernels_for_a_gpu_keep_what_an_earlier_table_has_chosen(tiny_gpu_artifact, tmp_path):
    known = next(
        choice
        for choice in read_choices(Artifact.open(tiny_gpu_artifact), "cuda:sm_90")
        if choice.key.steps == "16 rows" and "splits" in choice.configuration
    )
    table = table_with([known], {"num_warps": 2}, "sm_90")
    once = rebuild(tiny_gpu_artifact, tmp_path / "once", table)
    assert files_of(rebuild(once, tmp_path / "same", Table())) == files_of(once)
    assert files_of(once) != files_of(tiny_gpu_artifact)


def _logprobs(artifact):
    params = SamplingParams(temperature=0, max_tokens=8, logprobs=1)
    [output] = LLM(artifact).generate(["Sort these words: pear fig apple"], params, use_tqdm=False)
    completion = output.outputs[0]
    return [
        step[token].logprob
        for step, token in zip(completion.logprobs, completion.token_ids, strict=True)
    ]
