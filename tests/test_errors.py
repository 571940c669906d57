import pytest

from tapeout import errors


def test_every_error_of_ours_is_a_tapeout_error():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 5
    assert all(issubclass(kind, errors.TapeoutError) for kind in kinds)


def test_a_file_error_says_file_field_found_wanted_and_remedy_in_one_line():
    error = errors.CheckpointError("a.safetensors", "bytes", 7, 8, "fetch it again")
    assert str(error) == "a.safetensors: bytes: found 7, wanted 8; fetch it again"
    assert (error.file, error.field, error.found, error.wanted) == ("a.safetensors", "bytes", 7, 8)


@pytest.mark.parametrize("hostile", ["line\nforged line", "\x1b[2J", "x" * 10**6, ["\n"] * 10**4])
def test_a_hostile_value_is_shown_as_one_short_line(hostile):
    line = str(errors.CheckpointError("f", "field", hostile, "wanted"))
    assert line.isprintable() and len(line) < 300
