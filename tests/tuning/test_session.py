import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from found_tables import table_of

from tapeout import LLM, SamplingParams
from tapeout.artifact.files import lock_folder
from tapeout.artifact.tuning_table import Device, Table, merge, read_table, write_table
from tapeout.cli import main
from tapeout.errors import InputError
from tapeout.tuning.report import TuneReport
from tapeout.tuning.session import TuneOptions, tune


@pytest.fixture
def linked(nano, tmp_path):
    """The artifact in a folder of its own, for what is written beside it."""
    target = tmp_path / "model.tapeout"
    subprocess.run(["cp", "-r", nano, target], check=True)
    return target


def silent(progress):
    """Shows nothing."""


def test_what_is_found_goes_into_a_table_a_plot_and_a_new_artifact(linked, tmp_path):
    new, plot, export = (tmp_path / name for name in ("new.tapeout", "plot.svg", "all.json"))
    write_table(Table(), export)
    options = TuneOptions(budget_s=12, output=new, plot=plot, export=export, num_threads=2)
    report = tune(linked, options, silent)
    table = read_table(tmp_path / "model.tapeout.tuning.json")
    assert [known.device for known in table.devices] == [report.device]
    assert table.devices[0].entries == sorted(report.entries, key=lambda entry: entry.key)
    assert read_table(export) == table
    assert plot.read_text().startswith("<svg")
    assert all(entry.time_s < entry.before_s for entry in report.entries)
    assert "whole steps of" in report.text() or not report.entries
    assert np.array_equal(*(_logprobs(artifact) for artifact in (linked, new)))


def _digest(artifact):
    return (artifact / "manifest.digest").read_text()


def _logprobs(artifact):
    params = SamplingParams(temperature=0, max_tokens=8, logprobs=1)
    [output] = LLM(artifact).generate(["Sort these words: pear fig"], params, use_tqdm=False)
    completion = output.outputs[0]
    return [
        step[token].logprob
        for step, token in zip(completion.logprobs, completion.token_ids, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_was_killed_goes_on_where_it_ended(linked, number):
    journal = linked.with_name("model.tapeout.tuning.jsonl")
    command = [sys.executable, "-m", "tapeout.cli", "tune", str(linked), "--budget"]
    running = subprocess.Popen([*command, "10m"], stderr=subprocess.PIPE, text=True)
    while not journal.exists() or len(journal.read_bytes().splitlines()) < 6:
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(number)
    said = running.communicate()[1]
    assert running.returncode != 0
    assert number is signal.SIGKILL or "goes on from here" in said
    before = journal.read_bytes().rpartition(b"\n")[0]
    done = subprocess.run([*command, "8s", "--json"], capture_output=True, text=True, check=True)
    assert journal.read_bytes().startswith(before)
    assert sum(json.loads(done.stdout)["outcomes"].values()) >= 5


def test_imported_entries_of_other_devices_stay_in_the_table(linked, tmp_path):
    other = json.loads(
        '{"devices": [{"device": {"name": "NVIDIA H100", "arch": "sm_90", "num_units": 132},'
        ' "memory_bytes_per_s": null, "entries": [{"key": {"kernel": "linear", "shape": [64, 64],'
        ' "dtype": "bf16", "steps": "decode1", "batch_invariant": false},'
        ' "configuration": {"columns": 4}, "time_s": 1e-6, "before_s": 2e-6, "least_s": null}]}]}'
    )
    (tmp_path / "other.json").write_text(json.dumps(other))
    options = TuneOptions(budget_s=0.1, imports=[tmp_path / "other.json"], num_threads=2)
    tune(linked, options, silent)
    table = read_table(tmp_path / "model.tapeout.tuning.json")
    assert "NVIDIA H100" in [known.device.name for known in table.devices]


@pytest.mark.parametrize("budget", ["soon", "-5m", "5d", ""])
def test_a_budget_that_is_no_duration_is_refused(budget):
    done = CliRunner().invoke(main, ["tune", "model.tapeout", "--budget", budget])
    assert done.exit_code == 2 and "give 90s, 5m or 1h" in done.output


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(InputError, match="more than 0"):
        TuneOptions(budget_s=0)


def test_a_second_search_of_an_artifact_is_refused_while_one_runs(linked):
    lock = lock_folder(linked)
    with pytest.raises(InputError, match="is being tuned by another process; wait until that has"):
        tune(linked, TuneOptions(budget_s=0.1), silent)
    os.close(lock)
    assert tune(linked, TuneOptions(budget_s=0.1, num_threads=2), silent).table


@pytest.mark.parametrize("option", ["export", "plot", "output"])
def test_what_could_not_be_written_after_a_search_is_refused_before_it(option, linked, tmp_path):
    options = TuneOptions(**{option: tmp_path / "none" / "file"})
    with pytest.raises(InputError, match="none is missing, read-only or no folder"):
        tune(linked, options, silent)
    said = "is not an artifact" if option == "output" else "it is a folder; give a file"
    with pytest.raises(InputError, match=said):
        tune(linked, TuneOptions(**{option: tmp_path}), silent)
    assert not (tmp_path / "model.tapeout.tuning.jsonl").exists()


def told_of_import(artifact, table):
    """What is said of a table on the terminal and in the record."""
    options = ["--budget", "0.1s", "--num-threads", "1", "--import", str(table), "--json"]
    done = CliRunner().invoke(main, ["tune", str(artifact), *options])
    assert done.stderr.count("\n") == 1
    return done.stderr, json.loads(done.stdout)["imported"]


def test_what_is_imported_for_the_artifact_is_counted_before_the_search(linked, tmp_path):
    own, other = table_of(linked), table_of(linked, level="x86-64-v9")
    write_table(merge([own, other]), tmp_path / "table.json")
    said, found = told_of_import(linked, tmp_path / "table.json")
    count = len(own.devices[0].entries)
    assert found["num_of_kernels"] == count > 0 and found["num_configurations"] == 2 * count
    assert said.startswith(f"{count} of {2 * count} imported configurations are for kernels of")


def test_a_table_of_another_device_is_told_as_such(linked):
    said, found = told_of_import(linked, "h200")
    assert found["num_of_kernels"] == 0 and found["archs"] == ["sm_90"]
    assert said.startswith("none of ") and "the tables are for sm_90; import one of this" in said


def test_where_nothing_is_imported_nothing_is_said_of_it(linked):
    done = CliRunner().invoke(main, ["tune", str(linked), "--budget", "0.1s", "--json"])
    assert done.stderr == "" and json.loads(done.stdout)["imported"] is None


def text_of(**changed):
    """What is said of a search that found nothing, but for what is ``changed``."""
    device = Device(name="a CPU", arch="x86-64-v3", num_units=2)
    facts = {"memory_bytes_per_s": None, "opening_s": 0.5, "elapsed_s": 1.0, "num_works": 3}
    found = {"outcomes": {}, "num_tried": 0, "fates": {}, "entries": []}
    checks = {"step_ratios": {}, "taken_back": [], "not_checked": []}
    left = {"num_untried": 2, "num_left": 40}
    found = facts | found | checks | left | changed
    return TuneReport(device=device, table="t.json", **found).text()


def test_a_search_that_finds_nothing_says_so():
    text = text_of()
    assert "none is faster than the configuration that the artifact has" in text
    assert "before us" not in text
    assert "nothing was tried of 2 pairs of kernel and shape" in text
    assert "40 configurations are left; the same command goes on from here" in text


def test_what_was_faster_alone_but_not_in_the_end_is_told_with_its_counts():
    fates = {"not confirmed": 2, "taken back": 1, "waiting": 1}
    text = text_of(outcomes={"faster": 5, "slower": 70}, num_tried=75, fates=fates)
    assert "candidates tried: 5 faster alone, 70 slower" in text
    assert (
        "4 pairs of kernel and shape had a candidate that was faster alone: none kept, 2 not "
        "faster once confirmed, 1 not faster in whole steps, 1 not checked in whole steps yet"
    ) in text
    assert "none is faster" not in text and "give a longer --budget" not in text


def test_what_is_kept_is_counted_among_what_was_faster_alone():
    text = text_of(fates={"kept": 2, "taken back": 1})
    assert "was faster alone: 2 kept, 1 not faster in whole steps\n" in text


def test_a_new_artifact_in_which_nothing_changed_is_told_as_such():
    said = "the new artifact is new.tapeout, whose kernels are as before: nothing was kept"
    assert said in text_of(artifact="new.tapeout")


def test_a_search_that_had_no_time_for_anything_asks_for_more():
    said = "opening the artifact took 0.5 s and left no time to try or check anything"
    assert said in text_of(outcomes={"slower": 7})
    assert said not in text_of(num_tried=1) and said not in text_of(step_ratios={"rows1": 0.9})
    known = text_of(num_untried=0, num_left=0)
    assert "no time" not in known and "give a longer --budget" not in known


def test_a_search_whose_time_went_into_checks_alone_asks_for_more():
    said = "took 0.5 s, checks of whole steps left no time to try anything: give a longer --budget"
    assert said in text_of(step_ratios={"rows1": 0.9})
    assert said not in text_of(num_tried=1, step_ratios={"rows1": 0.9})


def test_an_artifact_may_be_named_from_inside_itself(linked, monkeypatch):
    monkeypatch.chdir(linked)
    done = CliRunner().invoke(main, ["tune", ".", "--budget", "0.1s"])
    assert done.exit_code == 0 and f"the table is {linked}.tuning.json" in done.output


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_a_folder_in_the_place_of_a_table_or_a_journal_is_refused_before_the_search(linked, kind):
    linked.with_name(f"{linked.name}.tuning.{kind}").mkdir()
    done = CliRunner().invoke(main, ["tune", str(linked), "--budget", "1h"])
    assert done.exit_code == 2 and f"tuning.{kind}: " in done.output


def test_a_budget_that_is_gone_at_the_start_is_held_and_what_is_left_is_said(linked, tmp_path):
    options = TuneOptions(budget_s=1, num_threads=2, output=tmp_path / "new.tapeout")
    report = tune(linked, options, silent, time.monotonic() - 1)
    assert report.outcomes == {} and report.num_untried == report.num_works > 0
    assert "give a longer --budget" in report.text()
    assert "whose kernels are as before: nothing was kept" in report.text()
    assert _digest(tmp_path / "new.tapeout") == _digest(linked)


def test_what_is_no_artifact_is_refused(tmp_path):
    done = CliRunner().invoke(main, ["tune", str(tmp_path)])
    assert done.exit_code == 2 and "found no manifest.json, wanted an artifact" in done.output
