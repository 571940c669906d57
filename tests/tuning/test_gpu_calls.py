from tapeout.artifact import GridTerm, Kernel, Launch, Operand, SlotBuffer, WeightBuffer
from tapeout.codegen.triton.emit import emit_region
from tapeout.codegen.triton.kernel import Steps
from tapeout.ir.parser import parse_function
from tapeout.tuning.gpu_calls import Scratch, calls_of, launches_of

ONE = GridTerm({"": 1}, 1, 1)
PRODUCT = """
func @product(%x: bf16[T, 8192], %w: bf16[64, 8192]) {anchor = "linear"} {
  %y: bf16[T, 64] = linear(%x, %w)
  return %y
}
"""
KERNELS = {
    name: Kernel(name=name, region="r", anchor="", math="", source="", operands=operands)
    for name, operands in (
        ("other", [Operand("param", 0)]),
        ("first", [Operand("param", 0), Operand("workspace", 0)]),
        ("second", [Operand("workspace", 0), Operand("param", 1), Operand("result", 0)]),
    )
}


def launch(kernel, *buffers):
    return Launch(kernel=kernel, buffers=list(buffers), scalars=[], grid=[ONE] * 3)


def layer(number):
    weight = WeightBuffer(f"w/{number}")
    return [
        launch("other", SlotBuffer(9)),
        launch("first", SlotBuffer(number), SlotBuffer(5)),
        launch("second", SlotBuffer(5), weight, SlotBuffer(number + 1)),
    ]


def test_the_calls_of_a_region_are_found_with_what_its_kernels_are_given():
    found = list(calls_of([*layer(0), *layer(1)], ["first", "second"], KERNELS))
    assert [(call.begin, call.end) for call in found] == [(1, 3), (4, 6)]
    assert found[1].buffers[Operand("param", 1)] == WeightBuffer("w/1")
    assert found[1].buffers[Operand("result", 0)] == SlotBuffer(2)


def test_a_call_by_other_kernels_has_its_buffers_and_workspaces_of_its_own():
    [call] = calls_of(layer(0), ["first", "second"], KERNELS)
    region = emit_region(parse_function(PRODUCT), Steps("few", 16))
    [kernel] = region.kernels
    assert region.tickets == frozenset({1})  # K is shared by blocks, which leave their sums
    [made] = launches_of(call, region, ["variant"], Scratch(100, region.tickets))
    assert made.kernel == "variant"
    assert made.buffers[:3] == [SlotBuffer(0), WeightBuffer("w/0"), SlotBuffer(1)]
    assert made.buffers[3:] == [SlotBuffer(100), SlotBuffer(103)]
    assert made.grid == [GridTerm(t.extent, t.divisor, t.factor) for t in kernel.grid]
    assert made.scalars == [scalar.to_json() for scalar in kernel.scalars]
