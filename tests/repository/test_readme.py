import ast
import re

import pytest
from click.testing import CliRunner
from source_tree import ROOT, package_folders, tree

import tapeout

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
SHELL = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
STEPS = re.findall(r"`([\w/]+\.(?:py|c|h|cpp)):([\w.]+)`", README)
LINKS = re.findall(r"\]\(([\w./-]+)\)", README)


def section(title):
    return re.split(r"^## ", README.partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]


@pytest.mark.parametrize(("file", "name"), STEPS, ids=":".join)
def test_a_step_names_a_function_that_exists(file, name):
    path = ROOT / file
    if path.suffix == ".py":
        assert name in set(_definitions(tree(path), ""))
    else:
        assert re.search(rf"\b{name}\(", path.read_text())


def _definitions(node, prefix):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield prefix + child.name
            yield from _definitions(child, f"{prefix}{child.name}.")


@pytest.mark.parametrize("title", ["A request's life", "A kernel's life"])
def test_a_life_has_at_most_eight_steps(title):
    steps = re.findall(r"^\d+\. ", section(title), re.MULTILINE)
    assert 1 <= len(steps) <= 8


def test_the_map_names_every_folder_with_its_own_sentence():
    rows = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", section("The map"), re.MULTILINE))
    folders = {f.name: ast.get_docstring(tree(f / "__init__.py")) for f in _top_folders()}
    assert rows == {name: " ".join(text.split()) for name, text in folders.items()}


def _top_folders():
    return [folder for folder in package_folders() if folder.parent == ROOT]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_a_file(link):
    assert (ROOT / link).exists()


@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_use_public_names_that_exist(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module == "tapeout":
            assert all(hasattr(tapeout, alias.name) for alias in node.names)


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("tapeout ")])
def test_a_command_and_its_options_exist(line):
    from tapeout.cli import main

    words = line.split("#")[0].split()
    done = CliRunner().invoke(main, [words[1], "--help"])
    assert done.exit_code == 0, done.output
    assert [w for w in words if w.startswith("-") and w not in done.output] == []


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("make ")])
def test_a_make_target_exists(line):
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_glossary_is_short():
    words = re.findall(r"^- \*\*", section("Glossary"), re.MULTILINE)
    assert 1 <= len(words) <= 25
