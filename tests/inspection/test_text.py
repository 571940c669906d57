import pytest

from tapeout.artifact import Artifact
from tapeout.inspection.facts import facts_of
from tapeout.inspection.text import sizes_text, text_of


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1 rows"], "1 row"),
        (["rows4", "rows8", "any"], "4, 8 and any rows"),
        (["1 sequences", "16 sequences"], "1 and 16 sequences"),
        (["any rows"], "any rows"),
        (["64 sequences", "64 rows", "128 rows"], "64 sequences and 64 and 128 rows"),
    ],
)
def test_sizes_of_steps_are_said_in_words(names, said):
    assert sizes_text(names) == said


def test_an_array_of_a_slow_path_is_local_memory_and_reads_as_no_fault(eighty_layers):
    text = text_of(facts_of(Artifact.open(eighty_layers)))
    head = next(line for line in text.splitlines() if line.startswith("kernel "))
    assert "local" in head.split() and "spill" not in text


def test_launches_of_kernels_add_up_to_those_of_the_tapes(nano):
    facts = facts_of(Artifact.open(nano))
    rows = [line.split() for line in text_of(facts).splitlines()]
    start = rows.index(["kernel", "anchor", "launches"])
    told = [int(row[-1]) for row in rows[start + 1 : rows.index([], start)]]
    assert sum(told) == sum(facts.targets["cpu"].launches.values())
