from hypothesis import given
from hypothesis import strategies as st

from tapeout.artifact import CacheBuffer, InputBuffer, Launch, SlotBuffer, WeightBuffer
from tapeout.inspection.folding import Run, family_of, fold


def launch(kernel, *buffers):
    return Launch(kernel=kernel, buffers=[*buffers], scalars=[])


def layer(index):
    slot = SlotBuffer(index % 3)
    weight, pages = WeightBuffer(f"layer0.w/{index}"), CacheBuffer("full", index)
    return [launch("project", weight, slot), launch("attend", pages, slot), launch("add", slot)]


def test_layers_that_differ_in_weights_pages_and_slots_are_one():
    tape = [launch("embed"), *(one for i in range(80) for one in layer(i)), launch("head")]
    assert fold(tape) == [Run(0, 1, 1), Run(1, 3, 80), Run(241, 1, 1)]


def test_two_kinds_of_layer_in_turn_are_one_repeat():
    tape = [one for i in range(12) for one in (*layer(i), launch("windowed"))]
    assert fold(tape) == [Run(0, 4, 12)]


def test_launches_that_differ_in_an_input_a_scalar_or_a_kernel_are_not_alike():
    others = [
        launch("a", InputBuffer("x")),
        launch("a", InputBuffer("y")),
        launch("b", InputBuffer("x")),
        Launch(kernel="a", buffers=[InputBuffer("x")], scalars=[{"T": 1}]),
    ]
    assert fold(others) == [Run(0, 4, 1)]


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_runs_cover_a_tape_once_in_order(kernels):
    covered = []
    for run in fold([launch(kernel) for kernel in kernels]):
        assert run.first == len(covered)
        covered += kernels[run.first : run.first + run.num_launches] * run.count
    assert covered == kernels


def test_a_member_of_a_family_is_told_from_a_weight_of_its_own():
    assert family_of("layer0.w/12") == ("layer0.w", 12)
    assert family_of("model.norm.weight") == ("model.norm.weight", None)
    assert family_of("/3") == ("/3", None)
