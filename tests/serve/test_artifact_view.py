from tapeout.artifact import Kernel
from tapeout.serve.artifact_view import list_sections, view_artifact

GRAPH = """module level=region {}

entry @step(%x: f32[T]) {
  %a: f32[T] = region(%x) {function = "embed"}
  %b: f32[T] = repeat(%a) {carried = 1, count = 3, index = [<i>], pattern = ["layer0", "layer1"]}
  %c: f32[T] = region(%b) {function = "head"}
  return %c
}

func @layer0(%h: f32[T]) {
  %y: f32[T] = region(%h) {function = "norm", layer = <i>}
  return %y
}

func @layer1(%h: f32[T]) {
  %y: f32[T] = region(%h) {function = "norm", layer = <i>}
  %z: f32[T] = region(%y) {function = "mix"}
  return %z
}

entry @sample(%x: f32[R]) {
  %t: i32[R] = region(%x) {function = "pick"}
  return %t
}

func @norm(%x: f32[T]) {anchor = "rows"} {
  %y: f32[T] = square(%x)
  return %y
}
"""


def kernel(name, function, **costs):
    math = f"func @{function}(%x: f32[T]) {{\n  return %x\n}}"
    return Kernel(name=name, region=name, anchor="rows", math=math, source="", **costs)


def test_sections_are_in_the_order_of_a_step():
    found = list_sections(GRAPH, [])
    assert [(s.name, s.count, [r.name for r in s.regions]) for s in found] == [
        ("step: before the layers", 1, ["embed"]),
        ("layer0", 3, ["norm"]),
        ("layer1", 3, ["norm", "mix"]),
        ("step: after the layers", 1, ["head"]),
        ("sample", 1, ["pick"]),
    ]


def test_a_region_has_its_math_and_all_its_kernels():
    kernels = [
        kernel("norm_small", "norm", flops={"T": 2000}, bytes={"": 64, "T": 4}),
        kernel("norm_large", "norm"),
        kernel("other", "mix"),
    ]
    [region] = list_sections(GRAPH, kernels)[1].regions
    assert "square(%x)" in region.math and region.anchor == "rows"
    small, large = region.kernels
    assert (small.name, small.flops, small.bytes) == ("norm_small", "2,000 T", "64 + 4 T")
    assert (large.name, large.flops) == ("norm_large", None)


def test_every_kernel_of_an_artifact_is_in_a_section(nano):
    view = view_artifact(nano, "cpu", "nano", 2048)
    regions = [region for section in view.sections for region in section.regions]
    assert all(region.math and region.kernels for region in regions)
    assert [section.count for section in view.sections[1:3]] == [7, 1]
    assert view.weights_bytes > 10_000_000
