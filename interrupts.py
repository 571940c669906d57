"""Holds an interrupt from the keyboard back while something must not be left half done."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BEAT_S = 0.05  # between two looks at whether there was an interrupt
_INTERRUPT = int(signal.SIGINT)  # a plain number is taken in half the time


@contextmanager
def uninterrupted() -> Iterator[Callable[[], None]]:
    """What an interrupt does is done at the end of the block, that of a second one at once.

    Gives a function that lets one that has come be done now. Other threads are not interrupted
    anyway.
    """
    handler = signal.getsignal(_INTERRUPT)
    if current_thread() is not main_thread() or not callable(handler):
        yield _do_nothing
        return
    held: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            handler(number, frame)
        held.append((number, frame))

    def let_in() -> None:
        if held:
            handler(*held.pop())

    signal.signal(_INTERRUPT, hold)
    try:
        yield let_in
    finally:
        signal.signal(_INTERRUPT, handler)
        let_in()


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], num_threads: int | None = None
) -> list[Result]:
    """What a function gives for every item, in order, computed by threads.

    An error or an interrupt ends it with what is under way. Python's own pools are left half
    locked by an interrupt at the wrong moment: they then wait for ever.
    """
    with uninterrupted() as let_in, ThreadPoolExecutor(num_threads) as pool:
        try:
            futures = [pool.submit(function, item) for item in items]
            return [_awaited(future, let_in) for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _awaited(future: "Future[Result]", let_in: Callable[[], None]) -> Result:
    while not future.done():
        wait([future], BEAT_S)
        let_in()
    return future.result()


def _do_nothing() -> None:
    pass
