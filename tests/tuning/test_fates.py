from fake_space import USUAL, key_of

from tapeout.artifact.tuning_table import Entry
from tapeout.tuning.fates import fates_of
from tapeout.tuning.journal import Dropped, Found, Kept, Trial


def trial(name, outcome="faster"):
    return Trial(key=key_of(name), configuration=USUAL, outcome=outcome, ratio=0.9)


def found(name):
    entry = Entry(key=key_of(name), configuration=USUAL, time_s=1, before_s=2, least_s=None)
    return Found(entry=entry)


def test_each_kernel_with_a_candidate_that_was_faster_alone_has_one_fate():
    tried = [trial(name) for name in ("stays", "waits", "slows steps", "was noise", "was noise")]
    confirmed = [found(name) for name in ("stays", "slows steps")]
    decided = [Dropped(steps="rows1"), found("stays"), Kept(steps="rows1"), found("waits")]
    lines = [*tried, trial("slow", "slower"), *confirmed, *decided]
    fates = {"kept": 1, "waiting": 1, "taken back": 1, "not confirmed": 1}
    assert fates_of(lines, [key_of("stays")]) == fates


def test_a_better_candidate_that_is_not_confirmed_takes_no_entry_away():
    assert fates_of([trial("one"), found("one"), trial("one")], []) == {"waiting": 1}


def test_what_was_taken_back_and_found_again_waits_again():
    lines = [trial("one"), found("one"), Dropped(steps="rows1"), trial("one")]
    assert fates_of(lines, []) == {"not confirmed": 1}
    assert fates_of([*lines, found("one")], []) == {"waiting": 1}


def test_where_nothing_was_faster_there_is_nothing_to_tell():
    assert fates_of([trial("one", "slower"), trial("two", "failed")], []) == {}
