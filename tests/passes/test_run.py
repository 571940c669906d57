"""What is written of the passes on request."""

import pytest

from tapeout.errors import InputError
from tapeout.ir.parser import parse_module
from tapeout.passes.pipeline import FUSE, PAGED
from tapeout.passes.run import dump, run_stages

TEXT = """
module level=model
entry @step(%x: f32[T, 8], %rows: i32[R]) {
  %y: f32[T, 8] = neg(%x)
  %z: f32[R, 8] = gather_rows(%y, %rows)
  return %z
}
"""


@pytest.fixture
def reports():
    return run_stages(parse_module(TEXT), (PAGED, FUSE))[1]


def test_the_trace_and_each_pass_that_rewrote_something_are_written_in_order(reports, tmp_path):
    dump(reports, tmp_path / "a" / "b")
    written = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    wanted = [f"{n:02}_{r.name}.ir" for n, r in enumerate(reports) if r.rewrites]
    assert written == wanted and wanted[0] == "00_traced.ir"
    for number, report in enumerate(reports):
        if report.rewrites:
            path = tmp_path / "a" / "b" / f"{number:02}_{report.name}.ir"
            assert str(parse_module(path.read_text())) == str(report.module)


def test_files_of_an_earlier_build_go_and_others_stay(reports, tmp_path):
    for name in ("07_other_pass.ir", "notes.txt"):
        (tmp_path / name).write_text("old")
    dump(reports, tmp_path)
    assert not (tmp_path / "07_other_pass.ir").exists() and (tmp_path / "notes.txt").exists()


def test_a_folder_that_cannot_be_written_is_refused(reports, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="dump_ir=.*: it is no folder; give a folder"):
        dump(reports, tmp_path / "file")
