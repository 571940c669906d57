import json
import re

import pytest
from click.testing import CliRunner
from fake_model import CONTEXT, NAN_TOKEN, build_fake

from tapeout.cli import main
from tapeout.runtime import bench

SMALL = ["--input-len", 8, "--output-len", 5, "--seed", 1, "--num-threads", 1]


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """An artifact with no tokenizer."""
    path = build_fake(tmp_path_factory.mktemp("fake") / "fake.tapeout", with_tokenizer=False)
    return str(path)


@pytest.fixture(autouse=True)
def _no_broken_prompt(monkeypatch):
    draw = bench._prompts

    def draw_finite(*args):
        return [[min(token_id, NAN_TOKEN - 1) for token_id in prompt] for prompt in draw(*args)]

    monkeypatch.setattr(bench, "_prompts", draw_finite)


def invoke(*arguments, exit_code=0):
    result = CliRunner().invoke(main, ["bench", *(str(a) for a in arguments)])
    assert result.exit_code == exit_code, result.output
    return result


def test_latency_counts_every_iteration_but_those_that_warm_up(fake):
    options = ["--batch-size", 3, "--num-iters", 4, "--num-iters-warmup", 2, "--json"]
    report = json.loads(invoke("latency", fake, *SMALL, *options).stdout)
    assert report["num_requests"] == 12
    assert report["num_prompt_tokens"] == 12 * 8 and report["num_output_tokens"] == 12 * 5
    assert report["num_cached_tokens"] == 0
    assert 0 < report["player_share"] < 1
    assert report["latency_s"]["mean"] * 4 == pytest.approx(report["elapsed_s"])
    assert report["requests_per_s"] == pytest.approx(12 / report["elapsed_s"])
    assert report["output_tokens_per_s"] == pytest.approx(60 / report["elapsed_s"])
    assert report["total_tokens_per_s"] == pytest.approx(156 / report["elapsed_s"])
    for name in ("latency_s", "first_token_s", "output_token_s"):
        assert 0 < report[name]["median"] <= report[name]["p99"]
    assert report["first_token_s"]["median"] < report["latency_s"]["median"]


def test_throughput_draws_lengths_within_the_ratio_and_shares_the_prefix(fake):
    options = ["--num-prompts", 30, "--random-range-ratio", 0.5, "--prefix-len", 32, "--json"]
    report = json.loads(invoke("throughput", fake, *SMALL, *options).stdout)
    assert report["num_requests"] == 30
    assert 30 * (32 + 4) < report["num_prompt_tokens"] < 30 * (32 + 12)
    assert report["num_prompt_tokens"] != 30 * 40
    assert 30 * 3 < report["num_output_tokens"] < 30 * 7
    assert report["num_cached_tokens"] == 29 * 32


def test_a_batch_of_more_sequences_than_a_step_has_tokens_runs_in_turns(fake):
    options = ["--batch-size", 6, "--max-num-batched-tokens", 4, "--num-iters", 1]
    report = json.loads(invoke("latency", fake, *SMALL, *options, "--json").stdout)
    assert report["num_output_tokens"] == 6 * 5


def test_the_same_seed_gives_the_same_work(fake):
    options = ["--num-prompts", 9, "--random-range-ratio", 1, "--json"]
    first, second = (
        json.loads(invoke("throughput", fake, *SMALL, *options).stdout) for _ in range(2)
    )
    for name in ("num_prompt_tokens", "num_output_tokens"):
        assert first[name] == second[name]


def test_the_report_is_read_by_people_and_kept_in_a_file(fake, tmp_path):
    file = tmp_path / "report.json"
    result = invoke("throughput", fake, *SMALL, "--num-prompts", 2, "--output", file)
    assert "2 requests in" in result.stdout and "time per output token" in result.stdout
    assert json.loads(file.read_text())["num_requests"] == 2


def test_a_single_token_of_output_has_no_pace(fake):
    options = ["--output-len", 1, "--num-prompts", 2]
    report = json.loads(invoke("throughput", fake, *SMALL, *options, "--json").stdout)
    assert report["output_token_s"] is None
    assert "per output token" not in invoke("throughput", fake, *SMALL, *options).stdout


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("latency", ["--input-len", 0], "input_len=0 is not allowed"),
        ("latency", ["--output-len", -1], "output_len=-1 is not allowed"),
        ("latency", ["--batch-size", 0], "batch_size=0 is not allowed"),
        ("latency", ["--num-iters", 0], "num_iters=0 is not allowed"),
        ("latency", ["--num-iters-warmup", -1], "num_iters_warmup=-1 is not allowed"),
        ("latency", ["--input-len", CONTEXT], "256 . 128 tokens, .*the model's 256"),
        ("latency", ["--kv-cache-bytes", 768], "32 . 128 tokens, .*the 32 .* or raise kv_cache_b"),
        ("latency", ["--max-model-len", 9], "max_model_len=9; lower one of them or raise max_mod"),
        ("latency", ["--max-num-seqs", "1.5"], "max_num_seqs='1.5' is not allowed; give a whole"),
        ("startup", ["--max-model-len", "long"], "max_model_len='long' is not allowed; give a w"),
        ("throughput", ["--num-prompts", 0], "num_prompts=0 is not allowed"),
        ("throughput", ["--random-range-ratio", 1.5], "random_range_ratio=1.5 is not allowed"),
        ("throughput", ["--random-range-ratio", "nan"], "random_range_ratio=nan is not allowed"),
        ("throughput", ["--prefix-len", -1], "prefix_len=-1 is not allowed"),
        ("throughput", ["--prefix-len", 200], "328 . 128 tokens"),
        ("throughput", ["--seed", -1], "seed=-1 is not allowed"),
        ("throughput", ["--max-num-seqs", 0], "max_num_seqs=0 is not allowed"),
        ("throughput", ["--output", "/nowhere/x.json"], "cannot write /nowhere/x.json"),
        ("throughput", ["--num-prompts", "many"], "--num-prompts"),
    ],
)
def test_a_bad_value_is_refused_by_name(fake, command, options, message):
    result = invoke(command, fake, *options, exit_code=2)
    assert re.search(message, result.stderr), result.stderr


def test_a_request_that_ends_early_is_an_error(fake, monkeypatch):
    monkeypatch.setattr(bench, "_prompts", lambda *_: [[NAN_TOKEN, 1]])
    options = [*SMALL, "--num-prompts", 1]
    result = invoke("throughput", fake, *options, exit_code=2)
    assert "request 1 ended early: numeric_error" in result.stderr


def test_kernels_are_timed_on_a_gpu_alone(fake):
    result = invoke("kernels", fake, exit_code=2)
    assert "runs here as its target cpu, but kernels are timed on a GPU" in result.stderr
