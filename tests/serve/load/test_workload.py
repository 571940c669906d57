import numpy as np
import pytest

from tapeout.errors import InputError
from tapeout.serve.load.options import LoadOptions, read_bounds
from tapeout.serve.load.workload import MIXES, draw_arrivals, draw_asks, draw_lengths

URL = "http://localhost:8000"


def options(**given):
    return LoadOptions(**({"url": URL, "concurrency": 1} | given))


def test_fixed_lengths_are_as_given():
    [first, *_] = asks = draw_asks(options(input_len=7, output_len=3, num_prompts=4), "nano")
    assert len(asks) == 4
    assert len(first.body["prompt"]) == 7 and first.body["max_tokens"] == 3
    assert first.body["model"] == "nano" and first.body["ignore_eos"] is True


def test_uniform_lengths_keep_to_the_ratio_and_reach_its_ends():
    asked = options(lengths="uniform", input_len=10, random_range_ratio=0.5, num_prompts=500)
    prompts, _ = draw_lengths(asked, np.random.default_rng(0))
    assert (prompts.min(), prompts.max()) == (5, 15)


@pytest.mark.parametrize("name", MIXES)
def test_a_mix_has_the_means_that_it_names(name):
    asked = options(lengths=name, num_prompts=100_000)
    drawn = draw_lengths(asked, np.random.default_rng(0))
    for lengths, told in zip(drawn, MIXES[name], strict=True):
        assert lengths.min() >= 1 and lengths.max() <= told.most
        assert lengths.mean() == pytest.approx(told.mean, rel=0.08)  # a little is cut off


def test_arrivals_are_a_poisson_process_of_the_rate():
    asked = options(request_rate=20.0, concurrency=None, num_prompts=20_000)
    gaps_s = np.diff(list(draw_arrivals(asked, np.random.default_rng(0))))
    assert gaps_s.mean() == pytest.approx(1 / 20, rel=0.03)
    assert gaps_s.std() == pytest.approx(gaps_s.mean(), rel=0.03)  # as of an exponential


def test_the_same_seed_asks_the_same():
    asked = options(lengths="sharegpt", num_prompts=20, request_rate=1.0, concurrency=None)
    assert draw_asks(asked, "a") == draw_asks(asked, "a")


def test_a_chat_has_a_word_for_each_token():
    [ask] = draw_asks(options(endpoint="chat", input_len=9, num_prompts=1), "nano")
    assert len(ask.body["messages"][0]["content"].split()) == 9
    assert ask.body["max_completion_tokens"] == 128


def test_without_ignore_eos_nothing_is_sent_that_openai_does_not_know():
    [ask] = draw_asks(options(ignore_eos=False, num_prompts=1), "gpt")
    assert "ignore_eos" not in ask.body


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"url": "localhost:8000"}, "url="),
        ({"input_len": 0}, "input_len=0"),
        ({"num_prompts": 0}, "num_prompts=0"),
        ({"random_range_ratio": 2.0}, "random_range_ratio=2"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": None}, "either request_rate"),
        ({"request_rate": 1.0}, "either request_rate"),
        ({"request_rate": 0.0, "concurrency": None}, "request_rate=0"),
        ({"timeout_s": 0.0}, "timeout_s=0"),
    ],
    ids=str,
)
def test_a_bad_value_is_refused_by_name(given, message):
    with pytest.raises(InputError, match=message):
        options(**given)


def test_bounds_are_read_by_name():
    bounds = read_bounds(("ttft:200", "e2e:1e3"))
    assert (bounds.ttft, bounds.tpot, bounds.e2e) == (200.0, None, 1000.0)


@pytest.mark.parametrize("text", ["ttft", "ttft:", "ttft:soon", "itl:3", ":3", "ttft:0"])
def test_a_bound_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="ttft"):
        read_bounds((text,))
