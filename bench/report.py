"""What every benchmark prints: a table, and a JSON file that names machine, commit and command."""

import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

BUILD = Path(__file__).resolve().parent.parent / "build" / "bench"


def report(name: str, rows: list[dict[str, Any]], **facts: Any) -> None:
    """Prints rows as a Markdown table and writes them to `build/bench/<name>.json`."""
    columns = list(rows[0])
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for row in rows:
        print(f"| {' | '.join(_cell(row[column]) for column in columns)} |")
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.json"
    path.write_text(json.dumps({"rows": rows, **facts, **_circumstances()}, indent=1))
    print(f"\n{path.relative_to(BUILD.parent.parent)}", file=sys.stderr)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _circumstances() -> dict[str, Any]:
    names = ("numpy", "torch", "transformers")
    return {
        "command": " ".join(sys.argv),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "cpu": _cpu_name(),
        "num_cores": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average": psutil.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in names},
    }


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip()


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
