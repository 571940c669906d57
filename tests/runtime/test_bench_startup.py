import json
import re

import pytest
from click.testing import CliRunner
from fake_model import NAN_TOKEN, build_fake
from msgspec.structs import replace

from tapeout.cli import main
from tapeout.runtime import bench_startup

LOAD = ["opening", "player", "digests", "weights", "memory", "kernels", "engine", "tokenizer"]


@pytest.fixture
def invoke(fake):
    """Runs `tapeout bench startup` on the fake model."""

    def invoke(*options, exit_code=0):
        arguments = ["bench", "startup", fake, "--repeats", 1, "--num-threads", 1, *options]
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == exit_code, result.output
        return result

    return invoke


@pytest.fixture
def process(monkeypatch):
    """Has processes run other code first."""

    def change(code):
        monkeypatch.setattr(bench_startup, "_CODE", code + bench_startup._CODE)

    return change


def test_the_parts_of_a_start_add_up_to_it(invoke):
    report = json.loads(invoke("--json").stdout)
    assert report["target"] == "cpu" and report["num_repeats"] == 1
    for run in (report["first"], report["median"]):
        assert list(run["load_s"]) == LOAD
        times_s = [run["interpreter_s"], run["import_s"], run["first_token_s"]]
        times_s += run["load_s"].values()
        assert min(times_s) > 0
        assert 0.8 * run["total_s"] < sum(times_s) <= run["total_s"]
    assert report["slowest_s"] == report["median"]["total_s"]


def test_the_time_line_is_read_by_people_and_kept_in_a_file(invoke, tmp_path):
    file = tmp_path / "report.json"
    lines = invoke("--output", file).stdout.splitlines()
    names = [re.split(r"  +", line)[0] for line in lines[1:]]
    parts = ["interpreter", "import", *(f"load: {name}" for name in LOAD), "first token"]
    assert names == ["ms", *parts, "all"]
    report = json.loads(file.read_text())
    assert lines[0] == (
        f"cpu: the first token {report['median']['total_s']:.3f} s after the start of a process, "
        f"the median of 1; {report['first']['total_s']:.3f} s in a first run"
    )


def test_the_median_is_that_of_the_runs_after_the_first(invoke, monkeypatch):
    start, totals_s = bench_startup._start, iter([4.0, 3.0, 1.0, 2.0])

    def start_in(artifact, options):
        startup = start(artifact, options)
        return replace(startup, run=replace(startup.run, total_s=next(totals_s)))

    monkeypatch.setattr(bench_startup, "_start", start_in)
    report = json.loads(invoke("--repeats", 3, "--json").stdout)
    assert report["first"]["total_s"] == 4.0
    assert report["median"]["total_s"] == 2.0 and report["slowest_s"] == 3.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repeats", 0], "repeats=0 is not allowed"),
        (["--max-num-seqs", 0], "max_num_seqs=0 is not allowed"),
        (["--max-model-len", 10**6], "max_model_len=1000000 .*256"),
        (["--dtype", "bfloat16"], "dtype=bfloat16 was asked for"),
        (["--load-format", "dummy"], "load_format=dummy is for checkpoints"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(invoke, options, message, capfd):
    said = invoke(*options, exit_code=2).stderr
    assert re.search(message, said) and said.count("\n") == 1
    assert capfd.readouterr().err == ""


def test_a_process_that_fails_is_told_in_one_line(invoke, process, capfd):
    process("from tapeout.runtime import model\nmodel.open_model = None\n")
    said = invoke(exit_code=2).stderr
    assert said == "Error: TypeError: 'NoneType' object is not callable\n"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 9)\n", "was ended by SIGKILL; see whether memory ran"),
        ("raise SystemExit(7)\n", "ended with the exit code 7"),
    ],
)
def test_a_process_that_ends_is_told_by_how_it_ended(invoke, process, code, message):
    process(code)
    assert message in invoke(exit_code=2).stderr


def test_a_first_token_that_does_not_come_is_an_error(invoke, process):
    process(f"from tapeout.runtime import startup_process as p\np._PROMPT = [{NAN_TOKEN}]\n")
    assert "the first token did not come: numeric_error" in invoke(exit_code=2).stderr


def test_an_artifact_without_a_tokenizer_starts_too(tmp_path):
    path = build_fake(tmp_path / "fake.tapeout", with_tokenizer=False)
    arguments = ["bench", "startup", str(path), "--repeats", "1"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
