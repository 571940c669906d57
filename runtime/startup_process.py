"""The process that `tapeout bench startup` starts: loads an artifact and makes one token.

What to load is its argument; its output is how long that took, or why it cannot be done.
"""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from ..errors import TapeoutError
from .cuda.executor import CudaExecutor
from .llm import LLM
from .sampling_params import SamplingParams
from .startup_report import StartupRun

CANNOT_LOAD = 2  # the exit code where the output says why
_PROMPT = [0, 1, 2]


class StartupSpec(msgspec.Struct, kw_only=True):
    """What the process is told."""

    artifact: str
    options: dict[str, Any]  # arguments of LLM
    started_s: float  # when it was started, by time.monotonic, whose zero all processes share


class Startup(msgspec.Struct, kw_only=True):
    """What the process says."""

    run: StartupRun
    target: str
    device_bytes: dict[str, int]


def main(began_s: float) -> None:
    """`began_s` is the time before anything was imported."""
    imported_s = time.monotonic()
    spec = msgspec.json.decode(sys.argv[1], type=StartupSpec)
    try:
        found = _start_up(spec, began_s, imported_s)
    except Exception as error:
        kind = "" if isinstance(error, TapeoutError) else f"{type(error).__name__}: "
        sys.stdout.write(f"{kind}{error}")
        sys.exit(CANNOT_LOAD)
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _start_up(spec: StartupSpec, began_s: float, imported_s: float) -> Startup:
    has_tokenizer = (Path(spec.artifact) / "tokenizer.json").is_file()
    llm = LLM(spec.artifact, skip_tokenizer_init=not has_tokenizer, **spec.options)
    loaded_s = time.monotonic()
    params = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)
    [output] = llm.generate({"prompt_token_ids": _PROMPT}, params, use_tqdm=False)
    ended_s = time.monotonic()
    if (reason := output.outputs[0].finish_reason) != "length":
        raise TapeoutError(f"the first token did not come: {reason}")
    run = StartupRun(
        interpreter_s=began_s - spec.started_s,
        import_s=imported_s - began_s,
        load_s=llm.startup_s,
        first_token_s=ended_s - loaded_s,
        total_s=ended_s - spec.started_s,
    )
    executor = llm.executor
    device_bytes = executor.device_bytes if isinstance(executor, CudaExecutor) else {}
    return Startup(run=run, target=llm.target_name, device_bytes=device_bytes)
