import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from fake_model import CONTEXT, NAN_TOKEN

from tapeout.cli import main
from tapeout.runtime import bench_kernels


@pytest.fixture(autouse=True)
def _no_broken_prompt(monkeypatch):
    draw = bench_kernels._prompts
    monkeypatch.setattr(
        bench_kernels, "_prompts", lambda *args: np.minimum(draw(*args), NAN_TOKEN - 1)
    )


@pytest.fixture
def invoke(driver, fake_cuda):
    """Runs `tapeout bench kernels` on the fake device."""

    def invoke(*options, exit_code=0):
        arguments = ["bench", "kernels", fake_cuda[0], *options]
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == exit_code, result.output
        return result

    return invoke


def test_the_kernels_of_a_step_add_up_to_it(invoke):
    report = json.loads(invoke("--batch", 4, "--context", 20, "--json").stdout)
    assert report["target"] == "cuda:sm_90" and report["device"] == "fake device"
    assert report["num_tokens"] == report["num_seqs"] == 4 and report["context"] == [21, 21]
    found = {row["name"]: (row["num_launches"], row["time_s"]) for row in report["kernels"]}
    assert found == {
        "write_tags": (2, pytest.approx(12e-3)),
        "hash_pages": (1, pytest.approx(4e-3)),
        "choose": (1, pytest.approx(4e-3)),
        "report": (1, pytest.approx(4e-3)),
    }
    assert report["kernels"][0]["share"] == pytest.approx(0.5)
    assert report["launches_s"] == pytest.approx(report["step_s"]) == pytest.approx(24e-3)
    assert report["num_launches"] == 5 and report["launches_per_layer"] == 1


def test_the_table_is_read_by_people(invoke, tmp_path):
    file = tmp_path / "kernels.json"
    text = invoke("--output", file).stdout
    assert re.search(r"write_tags +2 +3000.00 +6000.0 +66.7% +- +- +- +-\n", text)
    assert "5 launches, 1.0 a layer" in text and "1.000 times the 9000.0 us of the step" in text
    assert "no roofline: the limits of fake device are not known" in text
    assert json.loads(file.read_text())["num_seqs"] == 1


def test_prompts_that_take_many_steps_end_in_a_step_of_all(invoke, monkeypatch):
    monkeypatch.setattr(bench_kernels, "_STEP_TOKENS", 16)
    report = json.loads(invoke("--batch", 3, "--context", 40, "--json").stdout)
    assert report["num_seqs"] == 3
    shortest, longest = report["context"]
    assert 41 <= shortest < longest <= 50


def test_the_step_of_prompts_is_timed_too(invoke):
    report = json.loads(invoke("--batch", 3, "--context", 40, "--step", "prefill", "--json").stdout)
    assert report["num_tokens"] == 120 and report["num_seqs"] == 3
    assert report["context"] == [40, 40]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch", 0], "batch=0 is not allowed"),
        (["--context", -1], "context=-1 is not allowed"),
        (["--context", CONTEXT], f"context={CONTEXT} and what follows .* model's {CONTEXT}"),
    ],
)
def test_a_bad_value_is_refused_by_name(invoke, options, message):
    assert re.search(message, invoke(*options, exit_code=2).stderr)


def test_sequences_that_end_early_are_an_error(invoke, monkeypatch):
    monkeypatch.setattr(bench_kernels, "_prompts", lambda *_: np.int32([[NAN_TOKEN, 1]]))
    result = invoke("--context", 2, exit_code=2)
    assert "a sequence ended before the step: numeric_error" in result.stderr


def test_sequences_that_do_not_fit_at_a_time_are_an_error(invoke, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_BYTES", "570000")
    result = invoke("--batch", 8, "--context", 200, exit_code=2)
    assert "batch=8 sequences of context=200 tokens do not fit" in result.stderr


def test_a_benchmark_that_fails_leaves_the_file_as_it_was(invoke, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cuEventSynchronize:9")
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text("from before")
    for file in (old, new):
        result = invoke("--output", file, exit_code=2)
        assert "cuEventSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS" in result.stderr
    assert old.read_text() == "from before" and not new.exists()


def test_the_record_can_be_asked_for_on_stdout(invoke):
    record, _, text = invoke("--output", "-").stdout.partition("\n")
    assert json.loads(record)["num_seqs"] == 1 and text.startswith("cuda:sm_90 on fake device")
