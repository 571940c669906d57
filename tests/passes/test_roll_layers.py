import pytest

from tapeout.errors import UnsupportedModelError
from tapeout.ir.parser import parse_module
from tapeout.ir.printer import print_step
from tapeout.ir.verify import verify
from tapeout.ir.weights import Step, checkpoint
from tapeout.passes.roll_layers import roll_layers
from tapeout.passes.unify import unify_programs


def chain(kinds):
    """A module whose layers are of the given kinds, one letter each."""
    lines, functions, weights = [], [], []
    for index, kind in enumerate(kinds):
        weights.append(f'weight @h.{index}.w f32[8] for 1 = checkpoint("h.{index}.w")')
        lines.append(
            f"%v{index + 1}: f32[T, 8] = repeat(%v{index}) {{carried = 1, count = 1, "
            f'pattern = ["f{index}"], weights = [["h.{index}.w"]]}}'
        )
        op = {"a": "mul", "b": "add", "c": "sub"}[kind]
        functions.append(
            f"func @f{index}(%x: f32[T, 8], %w: f32[8]) "
            f"{{ %y: f32[T, 8] = {op}(%x, %w) return %y }}"
        )
    body = f"entry @step(%v0: f32[T, 8]) {{ {' '.join(lines)} return %v{len(kinds)} }}"
    return verify(parse_module("\n".join(["module level=model", *weights, body, *functions])))


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ("aaaa", "(layer0)x4"),
        ("ababab", "(layer0 layer1)x3"),
        ("ababa", "(layer0 layer1)x2 (layer0)x1"),
        ("abbbb", "(layer0)x1 (layer1)x4"),
        ("aabaab", "(layer0 layer0 layer1)x2"),
        ("aba", "(layer0)x1 (layer1)x1 (layer0)x1"),
        ("aaabcbcbc", "(layer0)x3 (layer1 layer2)x3"),
    ],
)
def test_the_runs_that_reach_furthest_with_the_smallest_period_are_rolled(kinds, wanted):
    rolled, _ = roll_layers(chain(kinds))
    calls = [node.attrs for node in verify(rolled).functions["step"].nodes]
    assert " ".join(f"({' '.join(c['pattern'])})x{c['count']}" for c in calls) == wanted
    assert set(rolled.functions) == {"step"} | {name for c in calls for name in c["pattern"]}


@pytest.mark.parametrize("kinds", ["aaaa", "ababa", "aabaab", "aaabcbcbc"])
def test_every_layer_keeps_its_own_weight(kinds):
    rolled, _ = roll_layers(chain(kinds))
    found = []
    for call in rolled.functions["step"].nodes:
        for i in range(call.attrs["count"]):
            for (family,) in call.attrs["weights"]:
                found += rolled.weights[family].program.at(i).sources()
    assert found == [f"h.{index}.w" for index in range(len(kinds))]


def test_layers_that_all_differ_stay_as_they_are():
    module = chain("abc")
    assert roll_layers(module) == (module, 0)


def test_names_count_up_in_any_even_step():
    family = unify_programs([checkpoint("h.3.w.0"), checkpoint("h.5.w.0"), checkpoint("h.7.w.0")])
    assert print_step(family) == 'checkpoint("h.{2*i+3}.w.0")'


def test_programs_unify_leaf_by_leaf():
    members = [
        Step("stack", tuple(checkpoint(f"h.{i}.e.{e}") for e in range(2)), (0,)) for i in range(3)
    ]
    assert print_step(unify_programs(members)) == (
        'stack(checkpoint("h.{i}.e.0"), checkpoint("h.{i}.e.1"), 0)'
    )


@pytest.mark.parametrize("names", [["h.0.w", "h.1.v"], ["h.0.w", "h.1.w", "h.3.w"], ["a", "a.1"]])
def test_names_that_do_not_count_up_are_refused(names):
    with pytest.raises(UnsupportedModelError, match="equal layers"):
        unify_programs([checkpoint(name) for name in names])
