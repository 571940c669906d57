"""What is given to a command by mistake ends it with one line and a code."""

import pytest
from click.testing import CliRunner
from fake_model import build_fake

from tapeout.cli import main


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """An artifact and what is none, by name."""
    folder = tmp_path_factory.mktemp("places")
    for name in ("checkpoint", "taken"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
    (folder / "file").write_text("")
    build_fake(folder / "artifact")
    return folder


def refused(arguments, places):
    """The error of a command whose arguments are places, options, or texts."""
    known = [str(places / one) if one.split("/")[0] in NAMES else one for one in arguments]
    result = CliRunner().invoke(main, known)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit) and result.stderr.count("\n") == 1
    return result.stderr


NAMES = ("artifact", "checkpoint", "file", "missing", "taken")
NO_ARTIFACT = [
    ("missing", "found nothing, wanted an artifact; give the folder of one, or compile"),
    ("file", "found a file, wanted an artifact; give the folder of one, or compile"),
    ("artifact/manifest.json", "found a file, wanted an artifact; give the folder of one"),
    (
        "checkpoint",
        "found no manifest.json, wanted an artifact; give the folder of one, or compile",
    ),
]


@pytest.mark.parametrize(("place", "message"), NO_ARTIFACT)
@pytest.mark.parametrize("command", ["inspect", "explain", "diff"])
def test_what_is_no_artifact_is_refused_by_what_it_is(command, place, message, places):
    more = ["artifact"] if command == "diff" else []
    assert message in refused([command, place, *more], places)
    assert message in refused([command, *more, place], places)


@pytest.mark.parametrize("place", ["missing", "file", "artifact/manifest.json"])
def test_what_is_no_model_is_not_planned(place, places):
    assert "no model: it has neither an artifact's" in refused(["plan", place], places)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("taken", "taken: it is a folder; give a file"),
        ("file/report.html", "file is missing, read-only or no folder; use a folder"),
        ("missing/report.html", "missing is missing, read-only or no folder; use a folder"),
    ],
)
def test_a_page_is_written_where_a_file_can_be(page, message, places):
    assert message in refused(["inspect", "artifact", "--html", page], places)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("taken", "taken exists and is not an artifact (it has no manifest.digest); give another"),
        ("file", "file exists and is not an artifact"),
        ("file/new", "file is missing, read-only or no folder; use a folder that is writable"),
    ],
)
def test_a_build_refuses_an_output_that_cannot_be_before_it_begins(output, message, places):
    pytest.importorskip("torch")
    assert message in refused(["compile", "checkpoint", "-o", output], places)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--require-fusion", "fuse_all"], "'fuse_all' is not known; for this target use roll_lay"),
        (["--require-fusion", "fold_norms"], "'fold_norms' is of other targets; for this target"),
        (["--cpu-level", "avx9"], "cpu_levels='avx9' is not known; use x86-64-v4-bf16, x86-64-v4"),
        (["--cpu-level", "x86-64-v3", "--target", "cuda:sm_90"], "is for target='cpu', not 'cuda"),
    ],
)
def test_a_build_refuses_names_that_it_does_not_know_before_it_begins(options, message, places):
    pytest.importorskip("torch")
    assert message in refused(["compile", "checkpoint", "-o", "missing", *options], places)
    assert not (places / "missing").exists()
