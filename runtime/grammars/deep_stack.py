"""Runs what compiles a text of somebody else's where it can neither overflow the stack nor hang.

Compilers recurse into nested rules: a thread of its own has a stack for all that the limits on a
grammar let through, whatever this process was started with.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_STACK_BYTES = 256 << 20  # of addresses: only what is used takes memory

T = TypeVar("T")


def on_deep_stack(work: Callable[[], T], timeout_s: float) -> T:
    """What `work` gives. Raises what it raises, or TimeoutError: then it is left to itself."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="tapeout-grammar", daemon=True)
    before = threading.stack_size(_STACK_BYTES)
    try:
        thread.start()
    finally:
        threading.stack_size(before)
    return future.result(timeout_s)
