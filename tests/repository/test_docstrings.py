import ast

import pytest
from source_tree import ROOT, functions, package_files, package_folders, relative, tree

# A pass is a file with a public function of its own name.
PASSES = [
    path
    for path in sorted((ROOT / "passes").glob("*.py"))
    if any(node.name == path.stem for node in functions(path))
]


@pytest.mark.parametrize("path", package_files(), ids=relative)
def test_every_file_says_what_it_is_in_its_first_line(path):
    first, *_ = (ast.get_docstring(tree(path)) or "").splitlines() or [""]
    assert len(first) >= 20


def test_every_stage_says_what_it_never_does():
    silent = [
        relative(folder)
        for folder in package_folders()
        if folder.parent == ROOT
        and folder.name != "artifact"
        and "never " not in ast.get_docstring(tree(folder / "__init__.py")).lower()
    ]
    assert silent == []


@pytest.mark.parametrize("path", PASSES, ids=relative)
def test_every_pass_shows_before_and_after_and_what_it_requires_and_keeps(path):
    text = ast.get_docstring(tree(path)) or ""
    missing = [word for word in ("Before", "After", "Requires", "Keeps") if word not in text]
    assert missing == []
