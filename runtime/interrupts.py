"""Holds an interrupt from the keyboard back while something must not be left half done."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

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


def _do_nothing() -> None:
    pass
