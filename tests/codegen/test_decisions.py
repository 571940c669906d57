"""The record of a build's passes."""

import msgspec
import pytest
from models import CONFIGS, tiny_config
from traced import for_gpu

from tapeout.artifact import Passes, encode
from tapeout.artifact.passes import text_after
from tapeout.codegen.decisions import record_passes
from tapeout.frontend.trace import trace_config
from tapeout.passes.pipeline import GPU_STAGES
from tapeout.passes.run import run_stages


def reports_of_llama():
    return run_stages(trace_config(tiny_config("llama")), GPU_STAGES)[1]


@pytest.fixture(scope="module")
def llama():
    return record_passes(reports_of_llama())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_record_gives_the_text_after_every_pass(name):
    reports = for_gpu(name)[1]
    record = record_passes(reports)
    for place, report in enumerate(reports):
        assert text_after(record, place) == str(report.module), report.name


def test_two_builds_give_the_same_record_which_reads_back(llama):
    data = encode(llama)
    assert data == encode(record_passes(reports_of_llama()))
    assert msgspec.json.decode(data, type=Passes) == llama


def test_a_pass_that_rewrote_nothing_takes_no_room(llama):
    idle = [one for one in llama.passes if not one.rewrites]
    assert idle and all(not one.changes and not one.order and one.head is None for one in idle)


def test_the_layers_are_those_that_run(llama):
    assert llama.layers == ["layer0", "layer0_rows"] and llama.peeled == {"layer0_rows": "layer0"}


def test_launches_and_bytes_are_those_with_each_node_a_kernel(llama):
    """Of a layer: two norms in its products, three further ones, and attention with its writes."""
    layer = [one.changes["layer0"] for one in llama.passes if "layer0" in one.changes][-1]
    assert layer.launches == 5
    merge = next(one for one in llama.passes if one.name == "merge_linears")
    before = llama.passes[llama.passes.index(merge) - 1]
    assert before.launches - merge.launches == 2 * len(llama.layers)
    reads = 2 * 160 * 4  # q and k read no f32[T, 160] of their own
    assert before.bytes["T"] - merge.bytes["T"] == reads * len(llama.layers)


def test_a_change_counts_the_ops_that_came_and_went(llama):
    rope = next(one for one in llama.passes if one.name == "raise_rope")
    assert rope.changes["layer0"].ops["rope"] == 2
    assert rope.changes["layer0"].ops["neg"] == -2
