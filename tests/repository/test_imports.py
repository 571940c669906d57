"""The arrows between the parts. Data flows down this table; imports only go up it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import ROOT, package_files, relative, tree

LEAVES = {"artifact", "debug", "errors", "interrupts", "settings"}  # all may use them; they use
# each other alone
COMPILER = {"ir", "frontend", "passes", "codegen"}
COMMANDS = {
    "cli_bench",
    "cli_explain",
    "cli_inspect",
    "cli_plan",
    "cli_serve",
    "cli_tune",
    "cli_verify",
}
HEAVY = {"torch", "triton", "transformers", "safetensors"}

# part -> (parts it may import beside the leaves, may it import torch and transformers)
ARROWS: dict[str, tuple[set[str], bool]] = {
    "artifact": (set(), False),
    "debug": (set(), False),
    "errors": (set(), False),
    "interrupts": (set(), False),
    "settings": (set(), False),
    "ir": (set(), True),
    "frontend": ({"ir"}, True),
    "passes": ({"ir", "frontend"}, True),
    "codegen": ({"ir", "frontend", "passes"}, True),
    "kvcache": (set(), False),
    "distributed": (set(), False),
    "runtime": ({"kvcache", "distributed"}, False),
    "serve": ({"runtime", "kvcache"}, False),
    "verification": (COMPILER | {"runtime", "kvcache"}, True),  # runs and interprets
    "api": (COMPILER, True),  # joins the stages; whoever imports it has the compiler
    "tuning": (COMPILER | {"runtime", "kvcache", "__init__"}, True),  # compiles and runs in turns
    "inspection": ({"runtime", "verification"}, False),
    # These reach it from inside functions alone.
    "cli": ({"cli_commands"}, False),
    "cli_commands": ({"runtime", "kvcache"} | COMMANDS, False),
    "cli_bench": ({"cli_limits", "runtime", "serve"}, False),
    "cli_explain": ({"inspection"}, False),
    "cli_inspect": ({"inspection"}, False),
    "cli_limits": (set(), False),
    "cli_plan": ({"cli_limits", "runtime"}, False),
    "cli_serve": ({"cli_limits", "serve"}, False),
    "cli_tune": ({"runtime", "tuning"}, False),
    "cli_verify": ({"runtime", "verification"}, False),
    "__init__": ({"runtime"}, False),
}
LAZY = {"cli", "cli_commands", "__init__"} | COMMANDS


def part_of(path: Path) -> str:
    """The first folder, or the file's own name at the root."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path, inside_functions: bool) -> Iterator[str]:
    """Absolute dotted names that a file imports, ours beginning with `tapeout.`."""
    package = ["tapeout", *path.relative_to(ROOT).parts[:-1]]
    for node in _nodes(tree(path), inside_functions):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
            names = [alias.name for alias in node.names]
            yield from (".".join(part for part in [*base, name] if part) for name in names)


def _nodes(node: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if (is_function and not inside_functions) or _is_type_checking(child):
            continue
        yield child
        yield from _nodes(child, inside_functions)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@pytest.mark.parametrize("path", package_files(), ids=relative)
def test_imports_go_up_the_map(path):
    part = part_of(path)
    allowed, may_be_heavy = ARROWS[part]
    wrong = []
    for name in imports(path, inside_functions=part not in LAZY):
        ours = name.split(".")[1] if name.startswith("tapeout.") else None
        if ours in ARROWS and ours not in allowed | LEAVES | {part}:
            wrong.append(name)
        if name.split(".")[0] in HEAVY and not may_be_heavy:
            wrong.append(name)
    assert wrong == [], f"{relative(path)} may import {sorted(allowed | LEAVES)} of ours"


def test_no_file_imports_a_part_by_its_bare_name():
    bare = [
        (relative(path), name)
        for path in package_files()
        for name in imports(path, inside_functions=True)
        if name.split(".")[0] in set(ARROWS) - {"__init__"}
    ]
    assert bare == []


def test_the_public_names_of_the_runtime_load_no_compiler():
    loaded = f"[m for m in sys.modules if m.split('.')[0] in {HEAVY} or m.split('.')[1:2] in "
    loaded += f"{[[part] for part in sorted(COMPILER)]}]"
    code = f"import sys, tapeout\ntapeout.LLM, tapeout.SamplingParams\nprint({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
