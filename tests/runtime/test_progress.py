import io

import pytest

from tapeout.runtime import progress as module
from tapeout.runtime.progress import BuildProgress, TerminalLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_build_shows_one_line_with_the_time_to_go(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = BuildProgress()
    progress("kernels", 0, 10)
    clock[0] = 5.0
    progress("kernels", 2, 10)
    progress("weights", 0, 0)
    progress.close()
    lines = [line.removeprefix("\x1b[K") for line in terminal.getvalue().split("\r")]
    assert lines == [
        "",
        "kernels 0% (0 s)",
        "kernels 20% (5 s, 20 s to go)",
        "weights 0% (0 s)",
        "",
    ]


def test_a_line_is_cut_where_the_terminal_ends(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "20")
    line = TerminalLine()
    line.show("a" * 40)
    line.close()
    assert terminal.getvalue() == f"\r\x1b[K{'a' * 19}\r\x1b[K"


def test_a_build_without_a_terminal_is_silent(capsys):
    progress = BuildProgress()
    progress("kernels", 1, 10)
    progress.close()
    assert capsys.readouterr().err == ""
