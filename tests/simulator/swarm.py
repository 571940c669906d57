"""Draws everything from one seed: an engine, rates of events, then command after command.

Source of the idea to draw the rates themselves: Groce et al., Swarm testing (ISSTA 2012).
"""

from collections.abc import Iterator
from random import Random

import msgspec

from .trace import (
    Arriving,
    Cancelling,
    Command,
    Config,
    Draining,
    Losing,
    Masking,
    Stepping,
)
from .world import World

_MAX_LIVE = 60  # before a burst


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How often things happen; many of them are 0 in many swarms."""

    arrivals: float
    burst: int
    cancels: float
    retries: float
    storms: float
    late_masks: float
    wrong_masks: float
    late_results: float
    losses: float
    glitches: float
    clock_jumps: float
    busy_steps: int  # until all drains
    families: int
    sharing: float
    duplicates: float
    salts: int
    tenants: int
    priorities: int
    deadlines: float
    masked: float
    scored: float
    sampled: float
    stops: float
    uncached: float
    nans: float
    max_output: int


def draw_config(rng: Random) -> Config:
    """An engine, often with hardly enough of anything."""
    page = rng.choice((1, 2, 3, 4, 4, 8))
    max_model_len = rng.randint(2, rng.choice((6, 12, 24, 48)))
    max_num_seqs = rng.choice((1, 2, 3, 4, 6))
    budget = max_num_seqs + rng.choice((0, 0, 1, 2, 5, 12, 40))
    window = rng.randint(1, rng.randint(1, max_model_len))
    windows = rng.choice(((None,), (None, window), (window,), (window, None)))
    depth = rng.choice((0, 1, 1, 2, 2, 3, 3))
    spare = rng.choice((0, 0, 1, 2, 5, 20))
    fewest = [_fewest_pages(w, page, max_model_len, (depth + 1) * budget) for w in windows]
    return Config(
        page_size_tokens=page,
        windows=windows,
        num_pages=tuple(count + spare + rng.choice((0, 0, 1)) for count in fewest),
        max_num_seqs=max_num_seqs,
        max_model_len=max_model_len,
        max_num_batched_tokens=budget,
        max_logit_rows=rng.choice((None, max_num_seqs, max_num_seqs + 1, max_num_seqs + 7)),
        prefix_caching=rng.random() < 0.9,
        depth=depth,
        max_num_waiting=rng.choice((None, None, 1, 3, 10)),
        max_waiting_tokens=rng.choice((None, None, max_model_len, 4 * max_model_len)),
    )


def _fewest_pages(window: int | None, page: int, max_model_len: int, in_flight: int) -> int:
    """What one sequence needs, the null page included."""
    pages = -(-max_model_len // page)
    if window is not None:
        pages = min(pages, -(-(window + in_flight) // page) + 1)
    return 1 + pages


def draw_rates(rng: Random) -> Rates:
    """Each rate is often zero, so that what others do is not drowned."""

    def maybe(most: float, chance: float = 0.5) -> float:
        return rng.uniform(0, most) if rng.random() < chance else 0.0

    burst = rng.choice((1, 1, 1, 2, 2, 4, 4, 12, 12, 100))
    return Rates(
        arrivals=rng.uniform(0.05, 0.6) / burst**0.5,
        burst=burst,
        cancels=maybe(0.3),
        retries=maybe(1.0, 0.7),
        storms=maybe(0.02, 0.3),
        late_masks=maybe(0.9),
        wrong_masks=maybe(0.3),
        late_results=maybe(0.9),
        losses=maybe(0.05, 0.4),
        glitches=maybe(0.05, 0.3),
        clock_jumps=maybe(0.02, 0.2),
        busy_steps=rng.choice((20, 60, 200)),
        families=rng.choice((1, 2, 3, 6)),
        sharing=rng.choice((0, 0.6, 0.9, 0.95)),
        duplicates=maybe(0.5),
        salts=rng.choice((1, 1, 2, 3)),
        tenants=rng.choice((1, 1, 2, 4)),
        priorities=rng.choice((1, 1, 2, 3)),
        deadlines=maybe(1.0, 0.3),
        masked=maybe(0.5, 0.3),
        scored=maybe(0.5, 0.4),
        sampled=maybe(1.0),
        stops=maybe(0.8),
        uncached=maybe(0.3, 0.3),
        nans=maybe(0.2, 0.2),
        max_output=rng.choice((2, 8, 20, 50)),
    )


class Swarm:
    """Commands for a world, drawn as it goes."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.config = draw_config(self.rng)
        self.rates = draw_rates(self.rng)
        self.number = 0
        self._last: Arriving | None = None

    def commands(self, world: World) -> Iterator[Command]:
        """Without end: busy times, and after each of them a drain."""
        while True:
            for _ in range(self.rates.busy_steps):
                yield from self._events(world)
                yield self._stepping()
            yield Draining()

    def _stepping(self) -> Stepping:
        rng, rates = self.rng, self.rates
        glitch = rng.randrange(16) if rng.random() < rates.glitches else None
        seconds = 1000.0 if rng.random() < rates.clock_jumps else rng.choice((0.0, 0.25))
        return Stepping(rng.random() >= rates.late_results, glitch, seconds)

    def _events(self, world: World) -> Iterator[Command]:
        rng, rates = self.rng, self.rates
        if rng.random() < rates.arrivals and len(world.cases) < _MAX_LIVE:
            for _ in range(rng.randint(1, rates.burst)):
                yield from self._arrivals()
        if rng.random() < rates.cancels:
            yield from self._cancelling(world)
        if rng.random() < rates.storms:
            yield from [Cancelling(number) for number in list(world.cases)]
        if rates.masked:
            yield from self._masks(world)
        if rng.random() < rates.losses:
            yield Losing()

    def _masks(self, world: World) -> Iterator[Command]:
        for number, case in list(world.cases.items()):
            if case.spec.masked:
                if self.rng.random() < self.rates.wrong_masks:
                    yield Masking(number, self.rng.choice((-1, 2, 3)))
                if case.waits_for_mask and self.rng.random() >= self.rates.late_masks:
                    yield Masking(number)

    def _cancelling(self, world: World) -> Iterator[Command]:
        """Somebody goes, and may come back with the same request at once."""
        rng = self.rng
        known = list(world.cases) or [0]
        number = rng.choice(known) if rng.random() < 0.8 else rng.randrange(self.number + 2)
        case = world.cases.get(number)
        yield Cancelling(number, rng.choice((None, None, 0, 1, 3)), rng.random() < 0.3)
        if case is not None and rng.random() < self.rates.retries:
            yield self._renumber(case.spec)

    def _arrivals(self) -> Iterator[Command]:
        """One request, now and then with siblings or as somebody's double."""
        rng, rates = self.rng, self.rates
        if self._last is not None and rng.random() < rates.duplicates:
            spec = self._renumber(self._last)
        else:
            spec = self._arriving()
        self._last = spec
        yield spec
        if rng.random() < rates.duplicates / 3:
            for _ in range(rng.randint(1, 3)):
                seed = None if spec.seed is None else rng.randrange(100)
                yield msgspec.structs.replace(self._renumber(spec), seed=seed)

    def _renumber(self, spec: Arriving) -> Arriving:
        self.number += 1
        return msgspec.structs.replace(spec, number=self.number)

    def _arriving(self) -> Arriving:
        rng, rates, config = self.rng, self.rates, self.config
        self.number += 1
        page, chance = config.page_size_tokens, rng.random
        shared = own = 0
        if chance() < rates.sharing:
            longest = max(4, config.max_model_len // page)
            shared = max(0, rng.randint(0, longest) * page + rng.choice((-1, 0, 0, 1)))
        if not shared or chance() < 0.6:
            own = rng.randint(1, rng.choice((4, config.max_model_len)))
        own_first = shared > 0 and chance() < 0.2
        if own_first:
            own = page * rng.randint(1, 2)
        is_masked, is_scored = chance() < rates.masked, chance() < rates.scored
        max_tokens = rng.randint(1, rates.max_output)
        stops = tuple(rng.randrange(12) for _ in range(rng.choice((1, 1, 6))))
        return Arriving(
            number=self.number,
            family=rng.randrange(rates.families),
            shared=shared,
            own=own,
            own_first=own_first,
            own_key=1000 + (rng.randrange(3) if chance() < 0.1 else self.number),
            max_tokens=max_tokens,
            salt=rng.randrange(rates.salts),
            seed=rng.randrange(100) if chance() < rates.sampled else None,
            penalised=chance() < rates.sampled / 3,
            fixed_mask=not is_masked and chance() < rates.masked / 3,
            stop_at=stops if chance() < rates.stops else (),
            min_tokens=rng.randint(0, max_tokens) if chance() < rates.stops / 2 else 0,
            watched=chance() < 0.5,
            masked=is_masked,
            early_mask=chance() < 0.5,
            logprobs=chance() < rates.scored,
            prompt_logprobs=is_scored,
            priority=(0, -5, 10**12)[rng.randrange(rates.priorities)],
            tenant="abcd"[rng.randrange(rates.tenants)],
            reads_cache=chance() >= rates.uncached,
            deadline_in=rng.uniform(0.1, rng.choice((3, 12, 400)))
            if chance() < rates.deadlines
            else None,
            nan_after=rng.randrange(6) if chance() < rates.nans else None,
        )
