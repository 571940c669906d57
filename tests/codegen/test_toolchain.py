import errno
import os
from pathlib import Path

import pytest

from tapeout import settings
from tapeout.codegen.cpp import toolchain
from tapeout.codegen.cpp.library import build_libraries
from tapeout.codegen.cpp.toolchain import LEVELS, compile_object
from tapeout.errors import BuildError

SOURCE = '#include "region.h"\nusing namespace tapeout;\nTAPEOUT_KERNEL(nothing) {}\n'


def test_builds_in_two_folders_are_byte_identical(tmp_path):
    """One of them with what other tests have compiled of the kit, the other all anew."""
    built = []
    for objects in (settings.CACHE.get() / "objects", tmp_path / "new" / "objects"):
        libraries = build_libraries({"a.cpp": SOURCE}, ["x86-64-v3"], objects, tmp_path)
        built.append(libraries["x86-64-v3"].read_bytes())
    assert built[0] == built[1] and str(tmp_path).encode() not in built[0]


def test_an_object_is_compiled_once(tmp_path):
    flags = LEVELS["x86-64-v3"]
    made = compile_object("a.cpp", SOURCE, flags, tmp_path)
    stamp = made.stat().st_mtime_ns
    assert compile_object("a.cpp", SOURCE, flags, tmp_path).stat().st_mtime_ns == stamp
    assert compile_object("a.cpp", SOURCE + "// more\n", flags, tmp_path) != made


def test_a_compiler_that_cannot_be_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain, "compiler", lambda: "/no/such/g++")
    with pytest.raises(BuildError, match="/no/such/g.. cannot be run: No such file .*CXX"):
        compile_object("a.cpp", SOURCE, (), tmp_path)


def test_a_full_disk_of_the_cache_is_named(tmp_path, monkeypatch):
    compile_object("a.cpp", SOURCE, (), tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BuildError, match=f"cannot write {tmp_path}: No space left.*TAPEOUT_CACHE"):
        compile_object("b.cpp", SOURCE, (), tmp_path)


def test_what_the_compiler_says_is_in_the_error(tmp_path):
    with pytest.raises(BuildError, match="no_such_thing"):
        compile_object("a.cpp", "int x = no_such_thing;", (), tmp_path)
    assert list(tmp_path.iterdir()) == []
