"""`tapeout explain` says why an artifact is as it is."""

import json
import re

import pytest
from click.testing import CliRunner
from cpu import native_levels
from msgspec.structs import replace
from planted_models import planted_checkpoint

from tapeout import compile_model
from tapeout.artifact import Artifact
from tapeout.artifact.choices import Candidate
from tapeout.artifact.passes import Miss
from tapeout.cli import main
from tapeout.inspection.explain import Chosen, Explanation, RegionWork, Section, explain
from tapeout.inspection.explanation_text import ranges, text_of_explanation

PLANTED = [
    ("q is scaled", "merge_linears", "no elementwise op alone", "mul is in between"),
    ("a norm is read twice", "fold_norm_weights", "linears alone read the norm", "read by add"),
    (
        "rope turns back",
        "raise_rope",
        "each pair (a, b) of it is (-b, a)",
        "concat(%slice_2, %neg)",
    ),
]
"""What is broken, the fusion that is lost, and words of the predicate and of what was found."""


def run(*arguments):
    return CliRunner().invoke(main, ["explain", *map(str, arguments)])


@pytest.mark.parametrize(("what", "name", "predicate", "found"), PLANTED)
def test_explain_names_the_cause_when_a_fusion_is_broken_on_purpose(
    what, name, predicate, found, tmp_path, monkeypatch
):
    planted_checkpoint(what, tmp_path / "checkpoint", monkeypatch)
    output = tmp_path / "planted.tapeout"
    compile_model(tmp_path / "checkpoint", output, cpu_levels=native_levels()[:1])
    done = run(output, "--layer", 1)
    assert done.exit_code == 0, done.output
    lines = re.sub(r"\n {5,}", " ", done.output).splitlines()
    line = next(line for line in lines if f" {name} left " in line)
    wanted, said = line.split(": wanted that ")[1].split(", found: ")
    assert predicate in wanted and found in said and "model.layers.0." in line


def test_explain_says_what_each_fusion_saves_in_a_layer(nano):
    section = next(s for s in explain(Artifact.open(nano)).sections if 0 in s.layers)
    did = {work.name: work for work in section.did}
    assert did["raise_rope"].ops["rope"] == 2
    assert did["merge_linears"].launches_saved == 2
    assert did["group_regions"].launches_saved > 5
    assert did["group_regions"].bytes_saved["T"] > 0
    assert section.left == [] and "fold_weights" in section.idle


def test_a_place_that_a_pass_leaves_twice_is_told_once(nano, monkeypatch):
    artifact = Artifact.open(nano)
    record = artifact.passes()
    miss = Miss(function="step", value="x", origin="", predicate="it fits", found="it does not")
    twice = [
        replace(one, misses=[miss] * (one.name == "select_rows_early")) for one in record.passes
    ]
    assert sum(map(len, (one.misses for one in twice))) > 1
    monkeypatch.setattr(artifact, "passes", lambda: replace(record, passes=twice))
    [section] = [one for one in explain(artifact).sections if one.function == "step"]
    assert [left.miss for left in section.left] == [miss]


def test_every_kernel_of_an_artifact_is_in_the_explanation(nano):
    found = explain(Artifact.open(nano))
    told = {
        kernel
        for section in found.sections
        for region in section.regions
        for chosen in region.chosen
        for kernel in chosen.kernels
    }
    (target,) = Artifact.open(nano).manifest.targets.values()
    assert told == {kernel.name for kernel in target.kernels}
    assert all(region.chosen for section in found.sections for region in section.regions)


def test_explain_tells_the_chosen_configurations_and_the_others(eighty_layers):
    found = explain(Artifact.open(eighty_layers)).of_layer(78)
    (section,) = found.sections
    assert section.layers == list(range(79))
    chosen = [c for region in section.regions for c in region.chosen if c.candidates]
    assert chosen and all(c.origin.startswith("rule: ") for c in chosen)
    text = text_of_explanation(found)
    candidate = chosen[0].candidates[0]
    assert f": {candidate.reason}" in text and "@layer0: layers 0-78" in text


def test_the_layer_that_runs_apart_has_the_passes_of_those_it_was_one_of(eighty_layers):
    others, last = (explain(Artifact.open(eighty_layers)).of_layer(i) for i in (0, 79))
    (others,), (last,) = others.sections, last.sections
    assert (last.function, last.layers) == ("layer0_rows", [79])
    names = [work.name for work in last.did]
    apart = names.index("peel_last_layer")
    assert last.did[:apart] == others.did[:apart] and "raise_rope" in names[:apart]
    assert last.did[apart].ops == {"gather_rows": 1}
    kernels = {k for region in others.regions for c in region.chosen for k in c.kernels}
    own = {k for region in last.regions for c in region.chosen for k in c.kernels}
    assert {name.split("_rows64")[0] for name in own - kernels} == {"gather_rows_1"}


def chosen(steps, **changes):
    known = {"kernels": ["linear_decode128"], "kind": "tile", "configuration": {"rows": 64}}
    rest = {"origin": f"rule: {steps}", "time_s": None, "candidates": []}
    return Chosen(steps=steps, **known | rest | changes)


def lines_of(*made):
    work = RegionWork(name="linear", anchor="linear", bytes={}, is_fallback=False, chosen=[*made])
    section = Section(function="step", layers=[], did=[], left=[], idle=[], regions=[work])
    facts = {"name": "a", "target": "t", "num_layers": 0, "traced_launches": 0, "launches": 0}
    text = text_of_explanation(Explanation(sections=[section], **facts))
    return [line.strip() for line in text.splitlines()[6:]]


def test_a_kernel_that_sizes_share_is_told_once_with_all_of_them():
    made = [chosen("128 rows"), chosen("256 rows"), chosen("any rows", kernels=["linear_any"])]
    assert lines_of(*made) == [
        "linear_decode128 for 128 and 256 rows: tile rows=64",
        "for 128 rows: rule: 128 rows",
        "for 256 rows: rule: 256 rows",
        "linear_any for any rows: tile rows=64 (rule: any rows)",
    ]


def test_a_kernel_of_one_form_is_told_with_its_sizes(nano):
    one = {"kind": "", "configuration": {}, "origin": "the only one"}
    assert lines_of(chosen("1 rows", **one), chosen("16 rows", **one)) == [
        "linear_decode128 for 1 and 16 rows (the only one)"
    ]
    text = text_of_explanation(explain(Artifact.open(nano)))
    assert re.search(r"sample_token_logprobs\s+for any rows \(the\s+only\s+one\)", text)


def test_of_another_kind_all_fields_are_shown_and_of_the_same_only_what_differs():
    others = [
        Candidate(kind="tile", configuration={"rows": 64, "columns": 32}, reason="is small"),
        Candidate(kind="stream", configuration={"rows": 64}, reason="is late"),
        Candidate(kind="persistent", configuration={}, reason="the step is short"),
    ]
    assert lines_of(chosen("64 rows", candidates=others))[1:] == [
        "not tile columns=32: is small",
        "not stream rows=64: is late",
        "not persistent: the step is short",
    ]


def test_what_is_printed_is_at_most_100_columns_wide(nano, eighty_layers):
    for artifact in (nano, eighty_layers):
        assert max(map(len, run(artifact).output.splitlines())) <= 100


def test_fallbacks_are_named(nano):
    step = next(s for s in explain(Artifact.open(nano)).sections if s.function == "step")
    assert [region.name for region in step.regions if region.is_fallback] == ["mul_cos_sin"]
    assert "the generic emitter of rows takes: mul_cos_sin" in run(nano).output


def test_a_layer_that_is_not_there_is_refused(nano):
    done = run(nano, "--layer", 99)
    assert (
        done.exit_code == 2
        and "layer=99 is not in nano.tapeout; give one from 0 to 7" in done.output
    )


def test_json_has_all_that_is_printed(nano):
    found = json.loads(run(nano, "--json", "--layer", 3).stdout)
    assert [section["function"] for section in found["sections"]] == ["layer0"]
    assert found["num_layers"] == 8 and found["traced_launches"] > found["launches"]


def test_layers_are_told_as_ranges():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
