from hypothesis import given
from hypothesis import strategies as st

from tapeout.codegen.plan import plan_slots
from tapeout.codegen.tape import Place, TapeLaunch, Unrolled
from tapeout.ir.types import Dim

SIZES = [Dim.of("64*T"), Dim.of("128*T"), Dim.of("4*R"), Dim.of("2*T+64"), Dim(256)]


@st.composite
def tapes(draw):
    """Launches that each make a value from some of those made before."""
    tape = Unrolled()
    for number in range(draw(st.integers(1, 30))):
        made = tape.new_value(draw(st.sampled_from(SIZES)))
        before = [Place("value", n) for n in range(number)]
        read = draw(st.lists(st.sampled_from(before), max_size=3)) if before else []
        tape.launches.append(TapeLaunch("k", (*read, made), (), (len(read),)))
    return tape


def lifetimes(tape):
    uses = {}
    for number, launch in enumerate(tape.launches):
        for place in launch.buffers:
            uses.setdefault(place.name, []).append(number)
    return {value: range(min(at), max(at) + 1) for value, at in uses.items()}


@given(tapes(), st.integers(0, 29))
def test_values_that_live_at_once_never_share_a_slot(tape, kept):
    pinned = [Place("value", kept)] if kept < len(tape.value_bytes) else []
    plan, lives = plan_slots(tape, pinned), lifetimes(tape)
    for place in pinned:
        lives[place.name] = range(lives[place.name].start, len(tape.launches) + 1)
    for one, life in lives.items():
        for other, second in lives.items():
            if one < other and plan.slot_of[one] == plan.slot_of[other]:
                assert life.stop <= second.start or second.stop <= life.start


@given(tapes())
def test_a_slot_is_as_large_as_every_value_it_holds(tape):
    plan = plan_slots(tape)
    for value, slot in plan.slot_of.items():
        for symbols in ({"T": 1, "R": 1}, {"T": 100, "R": 1}, {"T": 1, "R": 1000}):
            sizes = plan.slots[slot].json()
            largest = max(sum(f * symbols.get(s, 1) for s, f in size.items()) for size in sizes)
            assert largest >= tape.value_bytes[value].evaluate(symbols)


def test_a_chain_needs_two_slots():
    tape = Unrolled()
    last = tape.new_value(SIZES[0])
    tape.launches.append(TapeLaunch("k", (last,), (), (0,)))
    for _ in range(10):
        made = tape.new_value(SIZES[0])
        tape.launches.append(TapeLaunch("k", (last, made), (), (1,)))
        last = made
    assert len(plan_slots(tape).slots) == 2
