"""What is refused before anything is loaded, and what a file of results keeps."""

import json

import pytest

from tapeout.errors import InputError
from tapeout.serve.batch.lines import check_lines, read_lines
from tapeout.serve.batch.results import BatchError, ResultFile, result_of

GOOD = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x"}}


def write(path, *lines):
    path.write_text("\n".join(t if isinstance(t, str) else json.dumps(t) for t in lines))
    return path


def test_empty_lines_are_passed_over(tmp_path):
    source = write(tmp_path / "in", GOOD, "", GOOD | {"custom_id": "b"}, "  ")
    assert [line.custom_id for line in read_lines(source)] == ["a", "b"]
    assert check_lines(source) == {"a", "b"}


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[1]",
        "nothing",
        {"custom_id": "a"},
        GOOD | {"custom_id": ""},
        GOOD | {"custom_id": 7},
        GOOD | {"body": []},
        GOOD | {"priority": 1},
        "[" * 5000,
    ],
    ids=lambda bad: str(bad)[:20],
)
def test_a_line_that_is_no_request_is_named(tmp_path, bad):
    with pytest.raises(InputError, match="in:2 is no request"):
        check_lines(write(tmp_path / "in", GOOD, bad))


def test_an_id_may_be_there_once(tmp_path):
    with pytest.raises(InputError, match="custom_id=a is there twice"):
        check_lines(write(tmp_path / "in", GOOD, GOOD))


def test_an_input_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere cannot be read"):
        check_lines(tmp_path / "nowhere")


def test_results_are_found_again_and_a_torn_one_is_cut_off(tmp_path):
    path = tmp_path / "out"
    with ResultFile(path, {"a", "b", "c"}) as results:
        for name in ("a", "b"):
            results.add(result_of(name, BatchError("x", "é" * 9000)))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    with ResultFile(path, {"a", "b", "c"}) as results:
        assert results.custom_ids == {"a", "b"}
    assert path.read_bytes() == whole


_REQUEST = '{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {}}\n'
_UNKNOWN = '{"id": "batch_req_1", "custom_id": "z"}\n'


@pytest.mark.parametrize("held", ["text\n", "text", _UNKNOWN, _REQUEST, "\n"])
def test_a_file_that_holds_something_else_is_left_alone(tmp_path, held):
    path = tmp_path / "out"
    path.write_text(held)
    with pytest.raises(InputError, match="name another output"):
        ResultFile(path, {"a"})
    assert path.read_text() == held


def test_two_runs_do_not_write_one_file(tmp_path):
    with ResultFile(tmp_path / "out", set()):
        with pytest.raises(InputError, match="another run"):
            ResultFile(tmp_path / "out", set())


def test_a_disk_that_is_full_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        ResultFile(tmp_path / "no" / "out", set())
