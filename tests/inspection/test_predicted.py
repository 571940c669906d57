import pytest
from gpu_builds import GPU_TARGET
from opened_page import opened

from tapeout.artifact import Artifact, Tape
from tapeout.inspection.facts import facts_of
from tapeout.inspection.predicted import largest_step, step_facts
from tapeout.inspection.text import text_of
from tapeout.runtime.cuda.card_limits import CARDS
from tapeout.runtime.predict import predict_launches

TARGET = "cuda:sm_90"


@pytest.mark.parametrize(
    ("entry", "tape", "num_seqs", "num_tokens", "context"),
    [
        ("step.decode16", Tape(launches=[], max_rows=16, one_token_each=True), 16, 1, 1024),
        ("step.rows64", Tape(launches=[], max_rows=64), 1, 64, 0),
        ("step.any", Tape(launches=[]), 1, 2048, 0),
        ("sample.any", Tape(launches=[]), 64, 1, 1024),
        ("step.huge", Tape(launches=[], max_rows=1 << 60), 1, 1 << 16, 0),
        ("step.none", Tape(launches=[], max_rows=0), 1, 1, 0),
    ],
)
def test_a_tape_is_shown_at_the_largest_step_that_it_takes(
    entry, tape, num_seqs, num_tokens, context
):
    found = step_facts(largest_step(entry, tape))
    assert (found.num_seqs, found.num_tokens, found.context) == (num_seqs, num_tokens, context)


def test_folded_launches_take_as_long_as_all_of_the_tape(eighty_layers):
    artifact = Artifact.open(eighty_layers)
    target, dtype = artifact.manifest.targets[TARGET], artifact.manifest.model.dtype
    for facts in facts_of(artifact).targets[TARGET].tapes:
        tape = artifact.tape(TARGET, facts.name)
        assert set(facts.predicted_s) == {"h100", "h100-pcie", "h200"}
        limits, step = CARDS["h100"].limits, largest_step(facts.name, tape)
        whole = predict_launches(tape.launches, target, step, limits, dtype)
        counts = [run.count for run in facts.runs for _ in run.launches]
        folded = zip(counts, facts.predicted_s["h100"], strict=True)
        assert sum(n * seconds for n, seconds in folded) == pytest.approx(sum(whole))


def test_a_target_without_a_known_card_has_no_times(nano):
    facts = facts_of(Artifact.open(nano))
    assert all(tape.predicted_s == {} for tape in facts.targets["cpu"].tapes)
    assert " us" not in text_of(facts)


def test_the_text_has_a_column_for_each_card(eighty_layers):
    text = text_of(facts_of(Artifact.open(eighty_layers)))
    assert "h100 us" in text and "h200 us" in text


def test_kernels_of_a_gpu_stand_below_their_region_within_100_columns(eighty_layers):
    facts = facts_of(Artifact.open(eighty_layers))
    lines = text_of(facts).splitlines()
    kernel = next(k for k in facts.targets[GPU_TARGET].kernels if k.anchor == "linear")
    below = lines[lines.index(f"{kernel.region} (linear)") + 1 :]
    assert below[0].split()[0] == kernel.name.removeprefix(f"{kernel.region}_")
    assert max(map(len, lines)) <= 100


def test_the_page_has_the_time_of_each_launch_on_the_card_that_is_chosen(browser, report):
    with opened(browser, report) as page:
        launches = page.locator("#launches .time").all_inner_texts()
        assert launches and all(text.split()[1] in ("µs", "ms") for text in launches)
        page.select_option("#card", "h100-pcie")
        slower = page.locator("#predicted strong").inner_text()
        page.select_option("#card", "h200")
        assert page.locator("#predicted strong").inner_text() != slower


def test_kernels_of_a_tape_are_sorted_by_their_predicted_time(browser, report):
    with opened(browser, report) as page:
        assert page.locator("th[data-column=time]").count() == 0
        page.select_option("#kernel-tape", "step.decode256")
        page.click("th[data-column=time] button")
        cells = page.locator("td[data-column=time]").all_inner_texts()
        shares = [int(text.split()[2]) for text in cells]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=5)
