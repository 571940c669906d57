import msgspec
import small_artifact

from tapeout.artifact import Artifact, InputBuffer, Kernel, Launch, Operand, Slot, SlotBuffer, Tape
from tapeout.inspection.slot_use import Life, lives_of

MATH = """func @{name}(%x: f32[T]) {{anchor = "rows"}} {{
  %h: f32[T], %n: i32[T] = topk(%x)
  %y: f32[T, 4] = square(%h)
  return %y
}}"""
OPERANDS = {
    "embed": [Operand("input", "ids"), Operand("result", 0)],
    "mix": [Operand("param", 0), Operand("result", 0), Operand("workspace", 0)],
    "mix_add": [Operand("workspace", 0), Operand("result", 0)],
}


def target_of(**changes):
    """The small artifact's target with kernels that tell their operands, and slot 3 for logits."""
    target = small_artifact.manifest(small_artifact.Weights(total_bytes=0, tensors={})).targets
    kernels = [
        Kernel(
            name=name,
            region=name.split("_")[0],
            anchor="rows",
            math=MATH.format(name=name),
            source="",
            operands=operands,
        )
        for name, operands in OPERANDS.items()
    ]
    changes = {"kernels": kernels, "slots": [Slot(bytes=[])] * 4, "outputs": {"logits": 3}}
    return msgspec.structs.replace(target["cpu"], **changes)


def launch(kernel, *slots):
    head = [InputBuffer("ids")] if kernel == "embed" else []
    return Launch(kernel=kernel, buffers=[*head, *map(SlotBuffer, slots)], scalars=[])


def test_a_value_lives_from_the_launch_that_makes_it_to_the_last_that_uses_it():
    tape = Tape(launches=[launch("embed", 0), launch("mix", 0, 1, 2), launch("mix", 1, 0, 2)])
    assert lives_of(tape, target_of())[:2] == [
        Life(0, 0, 1, "y", "f32[T, 4]", "embed"),
        Life(1, 1, 2, "y", "f32[T, 4]", "mix"),
    ]


def test_launches_of_one_call_of_a_region_fill_one_value():
    tape = Tape(launches=[launch("mix", 0, 1, 2), launch("mix_add", 2, 1), launch("mix", 1, 0, 2)])
    lives = {(life.slot, life.first): life.last for life in lives_of(tape, target_of())}
    assert lives == {(0, 0): 0, (1, 0): 2, (2, 0): 2, (0, 2): 2}


def test_what_another_tape_has_made_is_there_from_the_start_and_an_output_to_the_end():
    tape = Tape(launches=[launch("embed", 0), launch("mix", 3, 1, 2), launch("embed", 0)])
    first, second, *_ = lives_of(tape, target_of())
    assert first == Life(0, 0, 0, "y", "f32[T, 4]", "embed")
    assert second == Life(3, 0, 2, "logits", "", "")


def test_where_nobody_told_the_operands_nothing_is_made_up():
    kernels = [Kernel(name="mix", region="mix", anchor="", math="", source="")]
    target = msgspec.structs.replace(target_of(), kernels=kernels)
    assert lives_of(Tape(launches=[launch("mix", 0, 1, 2)]), target) == []


def test_no_slot_of_a_real_tape_holds_two_values_at_once(nano):
    artifact = Artifact.open(nano)
    target = artifact.manifest.targets["cpu"]
    for entry in target.tapes:
        ends = {}
        for life in lives_of(artifact.tape("cpu", entry), target):
            assert life.first > ends.get(life.slot, -1) and life.last >= life.first, life
            assert life.type or life.name in target.outputs or "workspace" in life.name, life
            ends[life.slot] = life.last
