"""What a server is asked, how fast, and what counts as good."""

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ...errors import InputError, shown
from ...runtime.checks import check_number, check_whole

_MAX_COUNT = 1 << 24
_MAX_S = 1e9

Lengths = Literal["fixed", "uniform", "sharegpt", "alpaca"]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """A request within all of these is a good one; times in milliseconds, None for no bound."""

    ttft: float | None = None  # to the first token
    tpot: float | None = None  # of a token after the first, mean of the request
    e2e: float | None = None  # to the last token

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if (value := getattr(self, name)) is not None:
                check_number(name, value, 0.0, _MAX_S, is_open=True)


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Raises InputError naming a bad value.

    `request_rate` requests a second come at random, whatever the server does (open loop); or
    `concurrency` users each send the next when the last is answered (closed loop).
    """

    url: str
    model: str | None = None  # None: the first that the server lists
    endpoint: Literal["completions", "chat"] = "completions"
    lengths: Lengths = "fixed"
    input_len: int = 128  # tokens, where lengths are fixed or uniform
    output_len: int = 128
    random_range_ratio: float = 0.5  # uniform lengths differ by up to this share
    num_prompts: int = 100
    request_rate: float | None = None
    concurrency: int | None = None
    ignore_eos: bool = True  # an extension of tapeout's and vLLM's; others must go without
    timeout_s: float = 600.0
    bounds: Bounds = Bounds()
    seed: int = 0

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise InputError(f"url={shown(self.url)} is none; give http://HOST:PORT")
        for name in ("input_len", "output_len", "num_prompts"):
            check_whole(name, getattr(self, name), 1, _MAX_COUNT)
        check_number("random_range_ratio", self.random_range_ratio, 0.0, 1.0)
        check_whole("seed", self.seed, 0, 2**63 - 1)
        check_number("timeout_s", self.timeout_s, 0.0, _MAX_S, is_open=True)
        if (self.request_rate is None) == (self.concurrency is None):
            raise InputError("give either request_rate, for an open loop, or concurrency")
        if self.request_rate is not None:
            check_number("request_rate", self.request_rate, 0.0, _MAX_S, is_open=True)
        if self.concurrency is not None:
            check_whole("concurrency", self.concurrency, 1, _MAX_COUNT)

    @property
    def base_url(self) -> str:
        """Up to `/v1`, which may be left out."""
        return self.url.rstrip("/").removesuffix("/v1") + "/v1"


def read_bounds(given: tuple[str, ...]) -> Bounds:
    """Of texts as `ttft:200`. Raises InputError."""
    values = {}
    for text in given:
        name, _, number = text.partition(":")
        try:
            values[name] = float(number)
        except ValueError:
            name = ""
        if name not in Bounds.__struct_fields__:
            raise InputError(
                f"goodput={shown(text)} is no bound; give ttft, tpot or e2e as ttft:MS"
            )
    return Bounds(**values)
