import re

import pytest
from source_tree import ROOT, native_files, package_files, relative, script_files

DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
ALL = (*package_files(), *native_files(), *script_files(), *DOCUMENTS)

FORBIDDEN = {
    "an absolute path of some machine": r"(?<![\w.])/(home|root|work|Users|opt|mnt)/\w",
    "work that is left undone": r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))",
}


@pytest.mark.parametrize("path", ALL, ids=relative)
def test_a_file_holds_no_forbidden_words(path):
    if path.name == "test_words.py":
        return
    text = path.read_text()
    found = {why: m[0] for why, word in FORBIDDEN.items() if (m := re.search(word, text))}
    assert found == {}
