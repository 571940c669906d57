"""Every environment variable that tapeout reads: one typed, frozen table.

`settings.DEBUG.get()` gives the checked value; `with settings.DEBUG.override("ir"):` sets it for a
while. `docs/settings.md` is `render_table()`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from .errors import InputError, shown

T = TypeVar("T", covariant=True)

DEBUG_TOPICS = {
    "passes": "each pass of a build: its rewrites, and what it left because of which predicate",
    "ir": "the IR as traced, and after each pass that rewrote something",
    "kernels": "the IR of each region that a build makes kernels of",
    "schedule": "each step: its sizes, and how many wait and are preempted",
    "requests": "each request that arrives and ends, never its text",
}
"""What `TAPEOUT_DEBUG` can be, and the lines that each topic logs to the standard error."""

CPU_LEVELS = ("x86-64-v3", "x86-64-v4", "x86-64-v4-bf16")


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One environment variable; unset or empty means `default`."""

    name: str
    default: T
    parse: Callable[[str], T]  # raises ValueError on a text that is not allowed
    allowed: str  # what a user may write, for the error and the docs
    effect: str
    default_text: str

    def get(self) -> T:
        """The value in force now. Raises InputError that names the allowed values."""
        text = os.environ.get(self.name, "").strip()
        return self._checked(text) if text else self.default

    @contextmanager
    def override(self, text: str) -> Iterator[None]:
        """Sets the variable, for this process and those it starts, until the block ends."""
        if text:
            self._checked(text)
        before = os.environ.get(self.name)
        os.environ[self.name] = text
        try:
            yield
        finally:
            if before is None:
                del os.environ[self.name]
            else:
                os.environ[self.name] = before

    def _checked(self, text: str) -> T:
        try:
            return self.parse(text)
        except ValueError:
            raise InputError(
                f"{self.name}={shown(text)} is not allowed; set it to {self.allowed}, or unset it"
            ) from None


def _parse_bool(text: str) -> bool:
    values = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
    if text.lower() not in values:
        raise ValueError(text)
    return values[text.lower()]


def _parse_num_threads(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 1024 and len(text) < 9):
        raise ValueError(text)
    return int(text)


def _parse_topics(text: str) -> frozenset[str]:
    topics = frozenset(topic.strip() for topic in text.split(","))
    if not topics <= set(DEBUG_TOPICS):
        raise ValueError(text)
    return topics


def _parse_cpu_level(text: str) -> str | None:
    if text not in CPU_LEVELS:
        raise ValueError(text)
    return text


def _parse_folder(text: str) -> Path:
    return Path(text).expanduser()


CACHE: Setting[Path] = Setting(
    name="TAPEOUT_CACHE",
    default=Path.home() / ".cache" / "tapeout",
    parse=_parse_folder,
    allowed="a folder",
    effect="Where artifacts compiled on the way by `LLM(checkpoint)` are kept.",
    default_text="~/.cache/tapeout",
)
NUM_THREADS: Setting[int | None] = Setting(
    name="TAPEOUT_NUM_THREADS",
    default=None,
    parse=_parse_num_threads,
    allowed="a whole number from 1 to 1024",
    effect="CPU threads used by the kernels and by the build.",
    default_text="one for each core",
)
DEBUG: Setting[frozenset[str]] = Setting(
    name="TAPEOUT_DEBUG",
    default=frozenset(),
    parse=_parse_topics,
    allowed=f"one or more of {', '.join(DEBUG_TOPICS)}, with commas between",
    effect="Logs what happens, by [topic](#topics).",
    default_text="nothing",
)
CHECK_PASSES: Setting[bool] = Setting(
    name="TAPEOUT_CHECK_PASSES",
    default=False,
    parse=_parse_bool,
    allowed="1, true, on, 0, false or off",
    effect="Compares the module before and after every pass in the interpreter, on random inputs.",
    default_text="off",
)
CPU_LEVEL: Setting[str | None] = Setting(
    name="TAPEOUT_CPU_LEVEL",
    default=None,
    parse=_parse_cpu_level,
    allowed=f"one of {', '.join(CPU_LEVELS)}",
    effect="Uses the kernels of this instruction-set level, not of the best one the CPU has.",
    default_text="the best level of this CPU",
)

SETTINGS: tuple[Setting[object], ...] = (CACHE, NUM_THREADS, DEBUG, CHECK_PASSES, CPU_LEVEL)


def objects_folder() -> Path:
    """What builds have compiled, for the next one; made if it is not there.

    Raises InputError where nothing can be written there.
    """
    folder = CACHE.get() / "objects"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "it is read-only"
    except OSError as error:
        reason = str(error.strerror or error)
    if reason is not None:
        raise InputError(f"cannot write {folder}: {reason}; set TAPEOUT_CACHE to a folder for it")
    return folder


def render_table() -> str:
    """The settings as a Markdown page."""
    rows = [f"| `{s.name}` | {s.allowed} | {s.default_text} | {s.effect} |" for s in SETTINGS]
    topics = [f"| `{topic}` | {lines} |" for topic, lines in DEBUG_TOPICS.items()]
    head = [
        "# Settings",
        "",
        "Environment variables; any other value is refused. Made by `settings.render_table()`.",
        "",
        "| name | allowed values | default | effect |",
        "|---|---|---|---|",
    ]
    between = [
        "",
        "## Topics",
        "",
        "`TAPEOUT_DEBUG=passes,schedule` logs lines of both topics to the standard error.",
        "",
        "| topic | what it logs |",
        "|---|---|",
    ]
    return "\n".join([*head, *rows, *between, *topics, ""])
