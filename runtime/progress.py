"""What long work shows while it goes on: prompts that are done, stages of a build."""

import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .outputs import RequestOutput


class Progress:
    """Counts finished prompts and tokens per second; shows nothing when not asked to.

    `use_tqdm` may be a function to use in place of tqdm.
    """

    def __init__(self, num_prompts: int, use_tqdm: bool | Callable[..., Any]) -> None:
        self._bar: Any = None
        self._num_tokens, self._started_s = 0, time.monotonic()
        if use_tqdm and num_prompts:
            self._bar = _make_bar(use_tqdm)(
                total=num_prompts, desc="Processed prompts", dynamic_ncols=True
            )

    def add(self, output: RequestOutput) -> None:
        """Counts an output that has finished."""
        if self._bar is None:
            return
        self._num_tokens += sum(len(o.token_ids) for o in output.outputs)
        rate = self._num_tokens / max(time.monotonic() - self._started_s, 1e-9)
        self._bar.set_postfix_str(f"{rate:.1f} tokens/s out", refresh=False)
        self._bar.update(1)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _make_bar(use_tqdm: bool | Callable[..., Any]) -> Callable[..., Any]:
    if callable(use_tqdm):
        return use_tqdm
    from tqdm import tqdm

    make: Callable[..., Any] = tqdm
    return make


class TerminalLine:
    """A line on a terminal that the next takes the place of; silent where there is no terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Shows as much of it as fits: a line that wraps could not be written over."""
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()

    def close(self) -> None:
        """Clears the line."""
        self.show("")


class BuildProgress:
    """One line on a terminal for a build: its stage, the share done, seconds so far and to go.

    It is called with the stage, how much of it is done, and how much there is of it in all.
    """

    def __init__(self) -> None:
        self._stage, self._started_s = "", 0.0
        self._line = TerminalLine()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Shows the line."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started_s = stage, now
        took_s, share = now - self._started_s, done / max(total, 1)
        to_go = f", {took_s * (1 - share) / share:.0f} s to go" if share > 0.02 else ""
        self._line.show(f"{stage} {share:.0%} ({took_s:.0f} s{to_go})")

    def close(self) -> None:
        """Clears the line."""
        self._line.close()
