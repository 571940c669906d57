"""How long it takes from the start of a process to the first token of an artifact.

python bench/startup.py ARTIFACT [--runs 10]
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import click
from report import report

_FIRST_TOKEN = """
import sys
from tapeout import LLM, SamplingParams
params = SamplingParams(temperature=0, max_tokens=1)
[out] = LLM(sys.argv[1]).generate({"prompt_token_ids": [5, 6, 7]}, params, use_tqdm=False)
assert len(out.outputs[0].token_ids) == 1
"""


def first_token_s(artifact: Path) -> float:
    """Seconds from process start to its end, one token being generated."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", _FIRST_TOKEN, str(artifact)], check=True)
    return time.perf_counter() - start


@click.command()
@click.argument("artifact", type=click.Path(exists=True, path_type=Path))
@click.option("--runs", default=10)
def main(artifact: Path, runs: int) -> None:
    """Starts `runs` processes, one after another."""
    times = [first_token_s(artifact) for _ in range(runs)]
    row = {"first run s": times[0], "median s": median(times), "slowest s": max(times)}
    report("startup", [row], runs=runs, artifact=artifact.name)


if __name__ == "__main__":
    main()
