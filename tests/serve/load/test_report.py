import pytest

from tapeout.serve.load.client import Sample
from tapeout.serve.load.options import Bounds, LoadOptions
from tapeout.serve.load.plot import render_page
from tapeout.serve.load.report import report_of

SAMPLES = [
    Sample(
        begun_s=0.0,
        ended_s=1.1,
        pieces_s=[0.2, 0.4, 1.0],
        num_prompt_tokens=5,
        num_output_tokens=5,
    ),
    Sample(
        begun_s=1.0,
        late_s=0.003,
        ended_s=2.0,
        pieces_s=[1.1],
        num_prompt_tokens=3,
        num_output_tokens=1,
    ),
    Sample(begun_s=1.0, ended_s=1.5, pieces_s=[1.2], error="timeout"),
    Sample(begun_s=1.5, ended_s=1.5, error="503 <queue_full>"),
    Sample(begun_s=1.5, ended_s=1.6, error="503 <queue_full>"),
]


def report(**bounds):
    options = LoadOptions(url="http://x", concurrency=2, bounds=Bounds(**bounds))
    return report_of(SAMPLES, options, "nano")


def test_times_are_of_the_requests_that_were_answered_whole():
    found = report()
    assert (found.ttft_s.mean, found.ttft_s.max) == pytest.approx((0.15, 0.2))
    assert (found.itl_s.p50, found.itl_s.max) == pytest.approx((0.4, 0.6))
    assert found.tpot_s.mean == pytest.approx(0.8 / 4)  # a piece may hold several tokens
    assert found.e2e_s.max == pytest.approx(1.0)
    assert found.output_tokens_per_s == pytest.approx(6 / 2.0)
    assert found.max_late_s == 0.003


def test_what_failed_is_counted_by_its_kind():
    found = report()
    assert (found.num_requests, found.num_failed) == (5, 3)
    assert found.errors == {"503 <queue_full>": 2, "timeout": 1}
    assert "failed, timeout: 1" in found.text()


@pytest.mark.parametrize(
    ("bounds", "num_good"),
    [({}, 2), ({"ttft": 150}, 1), ({"tpot": 100}, 1), ({"e2e": 1000}, 2), ({"e2e": 50}, 0)],
    ids=str,
)
def test_goodput_counts_what_is_within_all_bounds(bounds, num_good):
    found = report(**bounds)
    assert found.good_requests_per_s == pytest.approx(num_good / 2.0)
    assert found.good_share == num_good / 5


def test_a_run_in_which_all_failed_has_no_times():
    found = report_of(SAMPLES[2:], LoadOptions(url="http://x", concurrency=1), "nano")
    assert found.ttft_s is found.e2e_s is None
    assert "<svg" in render_page(found, SAMPLES[2:])


def test_the_page_needs_nothing_else():
    page = render_page(report(), SAMPLES)
    assert page.count("<svg") == 6
    assert "http" not in page and "<script" not in page
    assert "503 &lt;queue_full&gt;" in page
