import os

import pytest

from tapeout import settings
from tapeout.errors import InputError

BAD = {
    "TAPEOUT_NUM_THREADS": ["0", "-1", "two", "1025", "9" * 5000, "1.5", "²"],
    "TAPEOUT_DEBUG": ["everything", "ir,", "ir passes"],
    "TAPEOUT_CHECK_PASSES": ["yes", "2"],
    "TAPEOUT_CPU_LEVEL": ["v4", "X86-64-V4"],
}
GOOD = {
    "TAPEOUT_CACHE": ("/a/b", "/a/b"),
    "TAPEOUT_NUM_THREADS": (" 2 ", 2),
    "TAPEOUT_DEBUG": ("ir, kernels", {"ir", "kernels"}),
    "TAPEOUT_CHECK_PASSES": ("On", True),
    "TAPEOUT_CPU_LEVEL": ("x86-64-v4", "x86-64-v4"),
}


def setting(name):
    return next(entry for entry in settings.SETTINGS if entry.name == name)


@pytest.mark.parametrize("name", [entry.name for entry in settings.SETTINGS])
def test_a_setting_has_its_default_when_unset_or_empty(name, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    assert setting(name).get() == setting(name).default
    monkeypatch.setenv(name, "")
    assert setting(name).get() == setting(name).default


def test_a_cache_that_cannot_be_written_is_refused_by_its_path(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TAPEOUT_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot write .*file/objects: .*; set TAPEOUT_CACHE to a"):
        settings.objects_folder()
    monkeypatch.setenv("TAPEOUT_CACHE", str(tmp_path / "new"))
    assert settings.objects_folder() == tmp_path / "new" / "objects"
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="it is read-only; set TAPEOUT_CACHE to a folder for it"):
        settings.objects_folder()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_value_is_parsed(name, monkeypatch):
    text, value = GOOD[name]
    monkeypatch.setenv(name, text)
    found = setting(name).get()
    assert (str(found) if name == "TAPEOUT_CACHE" else found) == value


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in BAD.items() for t in texts])
def test_a_bad_value_is_refused_with_the_allowed_ones(name, text, monkeypatch):
    monkeypatch.setenv(name, text)
    with pytest.raises(InputError) as error:
        setting(name).get()
    assert name in str(error.value) and setting(name).allowed in str(error.value)
    assert len(str(error.value)) < 400


def test_an_override_ends_with_its_block_and_is_checked(monkeypatch):
    monkeypatch.delenv("TAPEOUT_NUM_THREADS", raising=False)
    with settings.NUM_THREADS.override("2"):
        with settings.NUM_THREADS.override("3"):
            assert settings.NUM_THREADS.get() == 3
        assert settings.NUM_THREADS.get() == 2
    assert "TAPEOUT_NUM_THREADS" not in os.environ
    with pytest.raises(InputError), settings.NUM_THREADS.override("none"):
        pass


def test_names_are_ours_and_occur_once():
    names = [entry.name for entry in settings.SETTINGS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("TAPEOUT_") for name in names)
