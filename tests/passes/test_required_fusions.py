"""Every fusion that can be required says why it is lost, of models that are broken on purpose."""

import pytest
from click.testing import CliRunner
from models import CONFIGS, tiny_config
from planted_models import planted_checkpoint
from traced import for_gpu

from tapeout import api
from tapeout.cli import main
from tapeout.errors import InputError, UnsupportedModelError
from tapeout.frontend.trace import trace_config
from tapeout.ir.parser import parse_module
from tapeout.ir.types import DType
from tapeout.ir.verify import verify
from tapeout.passes.base import Stage
from tapeout.passes.fold_norm_weights import fold_norm_weights
from tapeout.passes.fusions import EXPLAINS
from tapeout.passes.group_regions import group_regions
from tapeout.passes.lost_epilogues import missed_epilogues
from tapeout.passes.near_rms_norms import missed_rms_norms
from tapeout.passes.near_ropes import missed_ropes
from tapeout.passes.pipeline import GPU_STAGES, STAGES
from tapeout.passes.raise_rms_norm import raise_rms_norm
from tapeout.passes.required_fusions import check_fusions, check_names, fusion_names
from tapeout.passes.run import run_stages

GPU = "cuda:sm_90"
FOUND = [
    ("q is scaled", "merge_linears", "no elementwise op alone", "mul is in between"),
    ("k is in fp32", "merge_linears", "the layer's own", "cast(%self_attn.k_proj.weight)"),
    ("k is in fp32", "fold_norm_weights", "the layer's own", "cast(%self_attn.k_proj.weight)"),
    ("a norm is read twice", "fold_norm_weights", "linears alone read the norm", "read by add"),
    (
        "a norm is read twice",
        "fold_norms",
        "one product alone reads",
        "linear_silu_mul, linear_add",
    ),
    (
        "rope turns back",
        "raise_rope",
        "each pair (a, b) of it is (-b, a)",
        "concat(%slice_2, %neg)",
    ),
]
"""What is broken, the fusion that is lost, and words of the predicate and of what was found."""


@pytest.mark.parametrize(("what", "name", "predicate", "found"), FOUND)
def test_a_fusion_broken_on_purpose_names_its_cause(
    what, name, predicate, found, tmp_path, monkeypatch
):
    _, reports = api.lower(planted_checkpoint(what, tmp_path, monkeypatch), target=GPU)
    with pytest.raises(UnsupportedModelError) as raised:
        check_fusions(reports, [name])
    said = str(raised.value)
    assert f"fusion {name} is lost in layer 0" in said
    assert "in layer 0 and 1 more like it" in said or "in layer 1 at" in said  # if peeled before
    assert predicate in said.split("wanted that ")[1].split(", found: ")[0]
    assert found in said.split(", found: ")[1]
    assert "model.layers.0." in said


def test_compile_fails_when_a_required_fusion_is_lost_and_writes_nothing(tmp_path, monkeypatch):
    planted_checkpoint("rope turns back", tmp_path / "checkpoint", monkeypatch)
    output, dumped = tmp_path / "out.tapeout", tmp_path / "ir"
    required = ["--require-fusion", "merge_linears", "--require-fusion", "raise_rope"]
    arguments = ["compile", tmp_path / "checkpoint", "-o", output, "--dump-ir", dumped, *required]
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 2 and not output.exists()
    assert "fusion raise_rope is lost in layer 0 and 1 more like it at %add_1_1" in done.output
    assert "wanted that x is turned: each pair (a, b) of it is (-b, a), found: " in done.output
    assert (dumped / "00_traced.ir").exists()


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3"])
def test_nothing_is_lost_in_the_models_that_fusions_were_made_for(name):
    _, reports = for_gpu(name)
    assert [miss for report in reports for miss in report.misses] == []
    check_fusions(reports, fusion_names(GPU_STAGES))


@pytest.mark.parametrize("name", CONFIGS)
def test_no_fusion_that_is_not_lost_is_refused(name):
    _, reports = for_gpu(name)
    lost = {report.name for report in reports if report.misses or not report.rewrites}
    check_fusions(reports, [one for one in fusion_names(GPU_STAGES) if one not in lost])


def test_a_fusion_that_finds_nothing_to_fuse_is_refused():
    _, reports = run_stages(trace_config(tiny_config("gpt2"), DType.BF16), STAGES)
    with pytest.raises(UnsupportedModelError, match="raise_rope finds nothing"):
        check_fusions(reports, ["raise_rope"])


def test_an_unknown_name_and_one_of_other_targets_are_refused_with_the_names():
    with pytest.raises(InputError, match=r"'fuse_all' is not known.*raise_rope, merge_linears"):
        check_names(["raise_rope", "fuse_all"], STAGES)
    with pytest.raises(InputError, match="'fold_norms' is of other targets; for this target use"):
        check_names(["fold_norms"], STAGES)
    check_names(["fold_norms"], GPU_STAGES)


def test_every_pass_that_explains_is_one_of_the_pipeline():
    assert set(EXPLAINS) <= {one for stage in GPU_STAGES for one in stage.passes}


NORM = """
module level=model
entry @step(%x: bf16[T, 8], %w: bf16[8]) {
  %wide: f32[T, 8] = cast(%x) {dtype = f32}
  %square: f32[T, 8] = mul(%wide, %wide)
  %mean: f32[T, 1] = reduce_mean(%square) {axis = 1}
  %eps: f32[] = constant() {value = 1e-05}
  %sum: f32[T, 1] = add(%eps, %mean)
  %root: f32[T, 1] = rsqrt(%sum)
  %normal: f32[T, 8] = mul(%root, %wide)
  %narrow: bf16[T, 8] = cast(%normal) {dtype = bf16}
  %y: bf16[T, 8] = mul(%w, %narrow)
  return %y
}
"""

ROPE = """
module level=model
entry @step(%x: bf16[T, 2, 16], %angle: bf16[T, 1, 8]) {
  %cos: bf16[T, 1, 8] = cos(%angle)
  %sin: bf16[T, 1, 8] = sin(%angle)
  FIRST
  %b: bf16[T, 2, 8] = slice(%x) {axis = 2, start = 8, stop = 16}
  %ac: bf16[T, 2, 8] = mul(%a, %cos)
  %bs: bf16[T, 2, 8] = mul(%b, %sin)
  %bc: bf16[T, 2, 8] = mul(%b, %cos)
  %as: bf16[T, 2, 8] = mul(%a, %sin)
  %low: bf16[T, 2, 8] = sub(%ac, %bs)
  %high: bf16[T, 2, 8] = add(%bc, %as)
  %y: bf16[T, 2, 16] = concat(%low, %high) {axis = 2}
  return %y
}
"""
PLAIN = [Stage("plain", (raise_rms_norm, fold_norm_weights))]


@pytest.mark.parametrize(
    ("old", "new", "predicate"),
    [
        ("reduce_mean(%square)", "reduce_sum(%square)", "the mean is over the last axis"),
        ("rsqrt(%sum)", "sqrt(%sum)", "the root is a rsqrt"),
        ("add(%eps, %mean)", "mul(%eps, %mean)", "a constant is added to the mean"),
        (
            "%sum: f32[T, 1] = add(%eps, %mean)",
            "%abs: f32[T, 1] = abs(%mean)\n%sum: f32[T, 1] = add(%eps, %abs)",
            "a constant is added to the mean",
        ),
        ("mul(%wide, %wide)", "abs(%wide)", "the mean is of x * x"),
        ("mul(%root, %wide)", "div(%wide, %root)", "the root multiplies the x"),
        ("mul(%w, %narrow)", "neg(%narrow)", "a weight [8] multiplies"),
    ],
)
def test_each_predicate_of_a_norm_is_named(old, new, predicate):
    (miss,) = missed_rms_norms(verify(parse_module(NORM.replace(old, new))))
    assert predicate in miss.obstacle.predicate and miss.value == "root"


def test_what_a_pass_before_left_is_said_where_a_fusion_finds_nothing():
    reports = run_stages(parse_module(NORM.replace("rsqrt(%sum)", "sqrt(%sum)")), PLAIN)[1]
    with pytest.raises(UnsupportedModelError) as raised:
        check_fusions(reports, ["fold_norm_weights"])
    assert "fold_norm_weights finds nothing in this model that it could fuse; before it " in (
        str(raised.value)
    )
    assert "raise_rms_norm is lost in @step at %root: wanted that the root is a rsqrt, found: " in (
        str(raised.value)
    )


def test_a_place_that_a_pass_leaves_again_is_told_once():
    text = NORM.replace("rsqrt(%sum)", "sqrt(%sum)")
    reports = run_stages(parse_module(text), [*PLAIN, *PLAIN])[1]
    with pytest.raises(UnsupportedModelError) as raised:
        check_fusions(reports, ["raise_rms_norm"])
    assert str(raised.value).count("the root is a rsqrt") == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("%a: bf16[T, 2, 8] = slice(%x) {axis = 2, start = 0, stop = 16, step = 2}", "step = 2"),
        ("%a: bf16[T, 2, 8] = slice(%x) {axis = 2, start = 1, stop = 9}", "start = 1"),
    ],
)
def test_halves_of_a_rotation_that_are_none_are_shown(first, second):
    (miss,) = missed_ropes(verify(parse_module(ROPE.replace("FIRST", first))))
    assert "of the pairs (a, b) of x is joined" in miss.obstacle.predicate
    assert "%a: " in miss.obstacle.found and second in miss.obstacle.found


LINEARS = """
module level=paged
weight @layer0.a f32[8, 8] for 2 = checkpoint("h.{i}.a")
func @layer0(%h: f32[T, 8], %a: f32[8, 8]) {
  %p: f32[T, 8] = linear(%h, %a)
  EPILOGUE
  return %y
}
entry @step(%h: f32[T, 8], %rows: i32[R]) {
  %r: f32[T, 8] = repeat(%h)
    {carried = 1, count = 2, pattern = ["layer0"], weights = [["layer0.a"]]}
  return %r
}
"""


@pytest.mark.parametrize(
    ("epilogue", "predicate", "found"),
    [
        (
            "%n: f32[T, 8] = neg(%p)\n%s: f32[T, 8] = softmax(%p)\n%y: f32[T, 8] = add(%n, %s)",
            "what is elementwise ends in one value",
            "a region of neg, softmax, add",
        ),
        (
            "%v: f32[T, 2, 4] = reshape(%p) {shape = [<T>, <2>, <4>]}\n"
            "%e: f32[T, 2, 4] = exp(%v)\n%y: f32[T, 8] = reshape(%e) {shape = [<T>, <8>]}",
            "the epilogue has the shape of the product",
            "f32[T, 8], then %exp: f32[T, 2, 4] = exp(%reshape)",
        ),
        (
            "%e: f32[T, 8] = exp(%p)\n%q: f32[T, 8] = linear(%e, %a)\n%y: f32[T, 8] = mul(%p, %q)",
            "the epilogue alone reads the product",
            "read by linear_mul too",
        ),
    ],
)
def test_each_predicate_of_an_epilogue_is_named(epilogue, predicate, found):
    module = verify(parse_module(LINEARS.replace("EPILOGUE", epilogue)))
    grouped, _ = group_regions(module)
    miss = next(iter(missed_epilogues(grouped)))
    assert (miss.function, miss.value) == ("layer0", "p")
    assert predicate in miss.obstacle.predicate and miss.obstacle.found == found


def test_layers_that_differ_are_told_apart_by_their_first_nodes():
    config = tiny_config("gemma2", layer_types=["sliding_attention"] * 3 + ["full_attention"])
    _, reports = run_stages(trace_config(config, DType.BF16), STAGES[:1])
    (miss,) = next(report for report in reports if report.name == "roll_layers").misses
    assert "equal periods" in miss.obstacle.predicate
    assert miss.obstacle.found.startswith("@layer0 %") and " and @layer1 %" in miss.obstacle.found
