"""Runs the simulator of scheduler and cache for any number of steps, in parallel.

python bench/simulate.py --steps 1000 --seeds 10000 --processes 16
python bench/simulate.py --mutants

Branch coverage of what is simulated:

pip install coverage
python -m coverage run --branch --include='*/runtime/*,*/kvcache/*' \\
    bench/simulate.py --seeds 300 --steps 300 --processes 1
python -m coverage report -m --skip-covered

Needs numpy and msgspec alone, and finds the repository it lies in by itself. Exits with 1 if a
promise was broken; the shrunk traces are then in the folder that --traces names.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def find_package() -> None:
    """Makes `tapeout` and the simulator importable where nothing is installed."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = Path(tempfile.mkdtemp())
    (folder / "tapeout").symlink_to(ROOT)
    sys.path[:0] = [str(folder), str(ROOT / "tests")]


@contextmanager
def workers(num_processes: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map` over processes, in any order; with one, over none but this."""
    if num_processes == 1:
        yield lambda function, jobs, _: map(function, jobs)
    else:
        with get_context("spawn").Pool(num_processes, find_package) as pool:
            yield pool.imap_unordered


def run(job: tuple[int, int]) -> Any:
    """One seed, in a worker."""
    from simulator.run import run_seed

    seed, num_steps = job
    return seed, run_seed(seed, num_steps)


def hunted(job: tuple[str, int]) -> Any:
    """One planted bug, in a worker."""
    from simulator.hunt import MUTANTS, hunt

    name, max_steps = job
    return name, hunt(MUTANTS[name], max_steps)


class Tally:
    """What a run has seen so far."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.start = args, time.monotonic()
        self.commit = output("git", "rev-parse", "--short", "HEAD")
        self.num_steps = self.num_seeds = 0
        self.broken: list[Any] = []  # (seed, trace)
        self.coverage: Counter[tuple[str, str]] = Counter()

    def add(self, seed: int, outcome: Any) -> None:
        """Takes in the outcome of a seed."""
        self.num_steps, self.num_seeds = self.num_steps + outcome.num_steps, self.num_seeds + 1
        self.coverage += outcome.coverage
        if outcome.violation:
            print(f"seed {seed}: {outcome.violation}", flush=True)
            self.broken.append((seed, outcome.trace))

    def facts(self) -> dict[str, Any]:
        """What is recorded."""
        seconds = time.monotonic() - self.start
        return {
            "steps": self.num_steps,
            "seeds": self.num_seeds,
            "first seed": self.args.start_seed,
            "violations": [(seed, trace.violation) for seed, trace in self.broken],
            "pairs of state and event": len(self.coverage),
            "seconds": round(seconds),
            "processes": self.args.processes,
            "steps per s": round(self.num_steps / seconds),
            "command": " ".join(sys.argv),
            "commit": self.commit,
            "python": platform.python_version(),
            "num_cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
        }

    def tell(self) -> None:
        """Prints a line, and writes the record if one is wanted."""
        facts = self.facts()
        print(
            f"{self.num_steps:,} steps of {self.num_seeds:,} seeds in {facts['seconds']} s by"
            f" {self.args.processes} processes: {facts['steps per s']:,} steps/s,"
            f" {len(self.broken)} violations",
            flush=True,
        )
        if self.args.record:
            self.args.record.write_text(json.dumps(facts, indent=1) + "\n")


def simulate(seeds: Iterable[int], args: argparse.Namespace) -> int:
    """Prints what was seen; the number of seeds that broke a promise."""
    tally, shown = Tally(args), time.monotonic()
    jobs = ((seed, args.steps) for seed in seeds)
    with workers(args.processes) as imap:
        for seed, outcome in imap(run, jobs, 4):
            tally.add(seed, outcome)
            if time.monotonic() - shown > args.tell_s:
                shown = time.monotonic()
                tally.tell()
    show_coverage(tally.coverage)
    keep(tally.broken[: args.keep], args.traces)
    tally.tell()
    return len(tally.broken)


def output(*command: str) -> str:
    """What a command prints; nothing if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def show_coverage(coverage: Counter[tuple[str, str]]) -> None:
    """How often each event met each state."""
    events = sorted({event for _, event in coverage})
    states = sorted({state for state, _ in coverage})
    print(f"{'state':<24}" + "".join(f"{event:>15}" for event in events))
    for state in states:
        counts = "".join(f"{coverage[state, event] or '':>15}" for event in events)
        print(f"{state:<24}{counts}")
    print(f"{len(coverage)} pairs of state and event")


def keep(broken: list[Any], folder: Path) -> None:
    """Shrinks failing traces and writes them."""
    from simulator.run import shrunk
    from simulator.trace import save

    for seed, trace in broken:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"seed_{seed}.json"
        save(shrunk(trace), path)
        print(f"wrote {path}")


def hunt_mutants(args: argparse.Namespace) -> int:
    """Prints the steps that each planted bug lived; the number of those not caught."""
    from simulator.hunt import MUTANTS

    jobs = [(name, args.max_steps) for name in MUTANTS]
    num_missed = 0
    with workers(args.processes) as imap:
        for name, (num_steps, violation) in imap(hunted, jobs, 1):
            num_missed += not violation
            print(f"{num_steps:>9,}  {name}: {violation or 'NOT CAUGHT'}", flush=True)
    print(f"{len(jobs) - num_missed} of {len(jobs)} planted bugs caught")
    return num_missed


def main() -> None:
    """Reads the options and runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1000, help="steps of a seed")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--start-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--traces", type=Path, default=Path("failing_traces"))
    parser.add_argument("--record", type=Path, help="JSON file of what was seen, kept up to date")
    parser.add_argument("--tell-s", type=float, default=30, help="seconds between lines")
    parser.add_argument("--keep", type=int, default=5, help="failing traces to shrink")
    parser.add_argument("--mutants", action="store_true", help="hunt the planted bugs instead")
    parser.add_argument("--max-steps", type=int, default=1_000_000, help="for a planted bug")
    args = parser.parse_args()
    find_package()
    if args.mutants:
        sys.exit(hunt_mutants(args) > 0)
    sys.exit(simulate(range(args.start_seed, args.start_seed + args.seeds), args) > 0)


if __name__ == "__main__":
    main()
