"""What a run of the simulator is made of: a configuration and commands, as JSON.

Every command means something whatever was taken out before it, so that a trace can be shrunk.
"""

from pathlib import Path

import msgspec


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The engine that is simulated."""

    page_size_tokens: int
    windows: tuple[int | None, ...]  # of each cache group
    num_pages: tuple[int, ...]
    max_num_seqs: int
    max_model_len: int
    max_num_batched_tokens: int
    max_logit_rows: int | None = None
    prefix_caching: bool = True
    depth: int = 1  # steps that may be in flight while the next is planned
    max_num_waiting: int | None = None
    max_waiting_tokens: int | None = None

    @property
    def layer_groups(self) -> tuple[int, ...]:
        """The cache group of each layer of the simulated model."""
        return tuple(range(len(self.windows))) if len(self.windows) > 1 else (0, 0)


class Arriving(msgspec.Struct, frozen=True, kw_only=True, tag="arrive", omit_defaults=True):
    """A request: its prompt is `shared` tokens of a family's stream, then `own` of its own.

    With `own_first` it is the other way round: like tokens at like places, after others.
    """

    number: int
    family: int
    shared: int
    own: int
    own_key: int
    own_first: bool = False
    max_tokens: int
    salt: int = 0
    seed: int | None = None  # None: greedy
    penalised: bool = False
    fixed_mask: bool = False
    stop_at: tuple[int, ...] = ()  # the tokens at these places of its true output stop it
    min_tokens: int = 0
    watched: bool = False
    masked: bool = False
    early_mask: bool = False  # the first mask comes with the request
    logprobs: bool = False
    prompt_logprobs: bool = False
    priority: int = 0
    tenant: str = ""
    reads_cache: bool = True
    deadline_in: float | None = None
    nan_after: int | None = None  # tokens of output; what follows is no number


class Cancelling(msgspec.Struct, frozen=True, tag="cancel", omit_defaults=True):
    """Cancels a request, which may be unknown or gone."""

    number: int
    keep: int | None = None  # tokens of its output
    is_stop: bool = False  # by a string that stops it, and not because nobody wants it


class Masking(msgspec.Struct, frozen=True, tag="mask", omit_defaults=True):
    """Gives a masked request the mask it waits for; `shift` makes it one for another length."""

    number: int
    shift: int = 0


class Losing(msgspec.Struct, frozen=True, tag="lose"):
    """The executor loses its memory and the steps in flight."""


class Stepping(msgspec.Struct, frozen=True, tag="step", omit_defaults=True):
    """Calls the scheduler."""

    report: bool = True  # the result of the oldest step in flight
    glitch: int | None = None  # the sequence of the planned step that comes out as no number
    seconds: float = 0.25  # since the last call


class Draining(msgspec.Struct, frozen=True, tag="drain"):
    """Nothing more comes: calls the scheduler until all have ended."""


Command = Arriving | Cancelling | Masking | Losing | Stepping | Draining


class Trace(msgspec.Struct, frozen=True):
    """A whole run."""

    config: Config
    commands: list[Command]
    violation: str = ""


def save(trace: Trace, path: Path) -> None:
    """Writes a trace, a command a line."""
    lines = ",\n  ".join(msgspec.json.encode(command).decode() for command in trace.commands)
    config = msgspec.json.encode(trace.config).decode()
    violation = msgspec.json.encode(trace.violation).decode()
    path.write_text(
        f'{{"violation": {violation},\n "config": {config},\n "commands": [\n  {lines}]}}\n'
    )


def load(path: Path) -> Trace:
    """Reads a trace."""
    return msgspec.json.decode(path.read_bytes(), type=Trace)
