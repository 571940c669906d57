"""The repository's own files, for the tests that hold its rules."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Folders at the root that are no part of the package.
BESIDE = {"bench", "build", "dist", "docs", "examples", "tests", "tools"}


@cache
def package_folders() -> tuple[Path, ...]:
    """Every folder of the package: the root, and all below it that hold an `__init__.py`."""
    return (
        ROOT,
        *sorted(path.parent for top in _top_folders() for path in top.rglob("__init__.py")),
    )


@cache
def package_files() -> tuple[Path, ...]:
    """Every Python file of the package."""
    return tuple(path for folder in package_folders() for path in sorted(folder.glob("*.py")))


@cache
def native_files() -> tuple[Path, ...]:
    """Every C and C++ file of the package."""
    tops = sorted(path for top in _top_folders() for path in top.rglob("*.*"))
    return tuple(path for path in tops if path.suffix in {".c", ".h", ".cpp"})


@cache
def script_files() -> tuple[Path, ...]:
    """Every Python file beside the package."""
    folders = (ROOT / name for name in sorted(BESIDE - {"build", "dist"}))
    return tuple(path for folder in folders for path in sorted(folder.rglob("*.py")))


def _top_folders() -> list[Path]:
    return [
        path
        for path in sorted(ROOT.iterdir())
        if path.is_dir() and path.name not in BESIDE and path.name[0] not in "._"
        if not path.name.endswith(".egg-info")
    ]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file, nested ones too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def relative(path: Path) -> str:
    """The path from the root, with forward slashes."""
    return path.relative_to(ROOT).as_posix()
