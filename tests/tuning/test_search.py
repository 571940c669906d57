import pytest
from fake_space import DEVICE, USUAL, FakeSpace, key_of
from msgspec.structs import replace

from tapeout.errors import TapeoutError
from tapeout.tuning.journal import Begun, Found, Journal
from tapeout.tuning.search import Search

BEST = {"depth": 8, "width": 2}
BEGUN = Begun(artifact_digest="0", device=DEVICE)


def cost(configuration):
    """Falls towards the best from everywhere."""
    steps = configuration["depth"] / BEST["depth"] + BEST["depth"] / configuration["depth"]
    steps += configuration["width"] / BEST["width"] + BEST["width"] / configuration["width"]
    return 0.5 + 0.1 * steps


def silent(progress):
    """Shows nothing."""


def search(space, path, budget_s=1000.0, imported=None, report=silent):
    journal = Journal(path / "journal", BEGUN)
    made = Search(space, journal, imported or {}, report, space.clock)
    made.run(budget_s)
    return made.entries, journal.lines


def outcomes(lines):
    return {tuple(t.configuration.values()): t.outcome for t in lines if hasattr(t, "outcome")}


def test_the_best_configuration_is_found_and_its_times_are_of_pairs(tmp_path):
    entries, _ = search(FakeSpace(cost), tmp_path)
    entry = entries[key_of("linear")]
    assert entry.configuration == BEST
    assert entry.before_s == pytest.approx(cost(USUAL), rel=0.05)
    assert entry.time_s == pytest.approx(cost(BEST), rel=0.05)
    assert entry.roofline == pytest.approx(0.1 / cost(BEST), rel=0.05)


def test_a_planted_fast_but_wrong_candidate_is_never_accepted(tmp_path):
    def planted(configuration):
        return 0.01 if configuration == BEST else cost(configuration)

    space = FakeSpace(planted, wrongs=[BEST])
    entries, lines = search(space, tmp_path)
    assert entries[key_of("linear")].configuration != BEST
    assert BEST not in space.timed, "its time was looked at"
    assert outcomes(lines)[tuple(BEST.values())] == "wrong"


def test_a_wrong_candidate_of_an_imported_table_is_not_accepted_either(tmp_path):
    space = FakeSpace(cost, wrongs=[BEST])
    entries, _ = search(space, tmp_path, imported={key_of("linear"): BEST})
    assert entries[key_of("linear")].configuration != BEST and BEST not in space.timed


def test_what_is_no_faster_beyond_noise_is_never_accepted(tmp_path):
    for seed in range(20):
        space = FakeSpace(lambda configuration: 1.0, noise=0.3)
        space.chance.seed(seed)
        assert search(space, tmp_path)[0] == {}
        (tmp_path / "journal").unlink()


def test_a_candidate_that_does_not_compile_is_noted_with_the_reason(tmp_path):
    _, lines = search(FakeSpace(cost, failing=[BEST]), tmp_path)
    assert outcomes(lines)[tuple(BEST.values())] == "failed"
    assert "too many registers" in [getattr(line, "reason", None) for line in lines]


def test_an_imported_configuration_is_tried_before_all_others(tmp_path):
    _, lines = search(FakeSpace(cost), tmp_path, imported={key_of("linear"): BEST})
    assert lines[0].configuration == BEST and lines[0].outcome == "faster"


def test_works_take_turns_and_the_largest_share_begins_and_has_more_of_them(tmp_path):
    space = FakeSpace(cost, shares={"small": 0.12, "large": 0.7, "middle": 0.18})
    entries, _ = search(space, tmp_path)
    assert space.order[:4] == ["large", "middle", "large", "small"]
    assert {key.kernel for key in entries} == {"small", "large", "middle"}


def test_a_work_of_a_tiny_share_has_a_turn_when_large_ones_were_looked_at_in_vain(tmp_path):
    shares = {"large": 0.5, "other": 0.498, "tiny": 0.001, "least": 0.001}
    space = FakeSpace(lambda configuration: 1.0, shares=shares)
    search(space, tmp_path)
    assert space.order[:6] == ["large", "other", "large", "other", "tiny", "least"]


def test_it_ends_at_its_budget(tmp_path):
    space = FakeSpace(cost, shares={name: 1 / 26 for name in "abcdefghijklmnopqrstuvwxyz"})
    search(space, tmp_path, budget_s=10.0)
    assert 8 <= space.now_s <= 10


def test_what_was_spent_before_counts(tmp_path):
    space = FakeSpace(cost)
    made = Search(space, Journal(tmp_path / "journal", BEGUN), {}, silent, space.clock)
    made.run(10.0, 9.0)
    assert space.now_s <= 1 and made.num_untried == 1 and made.num_left == 15


def test_entries_that_no_whole_step_was_tried_with_wait_for_the_next_search(tmp_path):
    options = {"shares": {"large": 0.7, "small": 0.3}, "steps": {"small": "rows4"}}
    space = FakeSpace(cost, check_s=5.0, **options)
    made = Search(space, Journal(tmp_path / "journal", BEGUN), {}, silent, space.clock)
    checks = made.run(10.0)
    assert checks.not_checked == ["rows4"]
    assert [key.kernel for key in made.entries] == ["large"]
    entries, _ = search(FakeSpace(cost, **options), tmp_path)
    assert {key.kernel for key in entries} == {"large", "small"}


def test_the_better_half_stays_where_all_together_slow_steps_down(tmp_path):
    def step_cost(chosen):
        return 0.9 if {key.kernel for key in chosen} == {"large"} else 1.1

    space = FakeSpace(cost, shares={"small": 0.3, "large": 0.7}, step_cost=step_cost)
    entries, _ = search(space, tmp_path)
    assert {key.kernel for key in entries} == {"large"}


@pytest.mark.parametrize("step_cost", [1.1, 1.01])
def test_entries_that_slow_whole_steps_down_are_taken_back(tmp_path, step_cost):
    space = FakeSpace(cost, step_cost=lambda chosen: step_cost)
    entries, lines = search(space, tmp_path)
    assert entries == {} and lines[-1].steps == "rows1"


def test_what_whole_steps_have_kept_stays_when_the_next_search_has_no_time_for_them(tmp_path):
    entries, _ = search(FakeSpace(cost), tmp_path)
    again, _ = search(FakeSpace(cost), tmp_path, budget_s=0.5)
    assert again == entries and entries


def test_what_was_found_after_the_last_check_waits_and_what_that_kept_stays(tmp_path):
    entries, _ = search(FakeSpace(cost), tmp_path)
    other = replace(entries[key_of("linear")], configuration=USUAL | {"depth": 2})
    Journal(tmp_path / "journal", BEGUN).add(Found(entry=other))
    again, _ = search(FakeSpace(cost), tmp_path, budget_s=0.5)
    assert again == entries


def test_what_whole_steps_take_back_later_does_not_come_back(tmp_path):
    search(FakeSpace(cost), tmp_path)
    search(FakeSpace(cost, step_cost=lambda chosen: 1.1), tmp_path)
    assert search(FakeSpace(cost), tmp_path, budget_s=0.5)[0] == {}


class Interrupting(FakeSpace):
    """Ends the process, as it were, when so many pairs were asked for."""

    def __init__(self, num_calls, **options):
        super().__init__(cost, **options)
        self.num_calls = num_calls

    def times(self, *arguments):
        self.num_calls -= 1
        if self.num_calls == 0:
            raise KeyboardInterrupt
        return super().times(*arguments)


@pytest.mark.parametrize("num_calls", [1, 2, 5, 9, 14, 20, 30, 45])
def test_interrupted_and_resumed_it_ends_as_good(tmp_path, num_calls):
    shares = {"one": 0.6, "other": 0.4}
    with pytest.raises(KeyboardInterrupt):
        search(Interrupting(num_calls, shares=shares), tmp_path)
    resumed = FakeSpace(cost, shares=shares)
    entries, _ = search(resumed, tmp_path)
    assert {key.kernel: entry.configuration for key, entry in entries.items()} == {
        "one": BEST,
        "other": BEST,
    }


class Dying(FakeSpace):
    """Its device is of no use once a variant has run that writes where nothing is."""

    culprit, is_dead = {"depth": 2, "width": 8}, False

    def wrong(self, work, built):
        self.is_dead = self.is_dead or built == self.culprit
        self.check_alive()
        return None

    def check_alive(self):
        if self.is_dead:
            raise TapeoutError("illegal address")


def test_a_variant_that_takes_the_device_along_alone_has_failed(tmp_path):
    with pytest.raises(TapeoutError, match="illegal address"):
        search(Dying(cost), tmp_path)
    resumed = Dying(cost)
    entries, lines = search(resumed, tmp_path)
    assert entries[key_of("linear")].configuration == BEST and not resumed.is_dead
    failed = [line.configuration for line in lines if getattr(line, "outcome", "") == "failed"]
    assert failed == [Dying.culprit]


def test_what_was_tried_is_not_tried_again_after_an_interruption(tmp_path):
    _, lines = search(FakeSpace(cost), tmp_path)
    _, again = search(FakeSpace(cost), tmp_path)
    before = [line.configuration for line in lines if hasattr(line, "outcome")]
    after = [line.configuration for line in again if hasattr(line, "outcome")]
    slower = [line.configuration for line in lines if getattr(line, "outcome", "") == "slower"]
    assert after[: len(before)] == before
    assert not [found for found in after[len(before) :] if found in slower]


def test_progress_tells_what_is_left_and_what_is_gained(tmp_path):
    seen = []
    search(FakeSpace(cost), tmp_path, report=seen.append)
    assert seen[0].to_go_s > seen[-1].to_go_s and seen[-1].speedup > 1.05


def test_an_imported_configuration_that_is_no_candidate_is_named_and_not_tried(tmp_path):
    for brought, unknown in ((BEST | {"depth": 9}, True), (BEST, False), (USUAL, False)):
        space, journal = FakeSpace(cost), Journal(tmp_path / str(brought), BEGUN)
        found = Search(space, journal, {key_of("linear"): brought}, lambda progress: None)
        assert found.unknown == [key_of("linear")] * unknown
