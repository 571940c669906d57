"""A thread that runs queued steps in order, so that the next is planned while one is computed."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread, current_thread

from ..errors import TapeoutError, in_words
from .frame import Frame, StepResult


class StepError(TapeoutError):
    """A step failed, or was not run because an earlier one had failed or the executor was closed.

    What the device holds is not known after that.
    """


def failed_by(failure: Exception | None) -> StepError:
    """The error of a step that failed, or that an earlier failure kept from running."""
    assert failure is not None, "a step failed without an error"
    error = StepError(f"a step did not complete: {in_words(failure)}")
    error.__cause__ = failure
    return error


class StepThread:
    """Runs what one caller submits; `wait` gives results in the same order.

    Hand-overs are through `SimpleQueue`, as quick as a bare lock.
    """

    def __init__(self, run: Callable[[Frame], StepResult]) -> None:
        self._run = run
        self._frames: SimpleQueue[Frame | None] = SimpleQueue()
        self._results: SimpleQueue[StepResult | None] = SimpleQueue()
        self._num_unreported = 0
        self._failure: Exception | None = None  # set once; nothing is run after that
        self._is_closed = False
        # A daemon: Python joins others at exit before anything can close the executor.
        self._thread = Thread(target=self._main, name="tapeout-executor", daemon=True)
        self._thread.start()

    @property
    def num_unreported(self) -> int:
        """Steps submitted whose results were not waited for."""
        return self._num_unreported

    def submit(self, frame: Frame) -> None:
        """Queues a step; what the frame holds must not change until it has reported.

        Raises StepError in a fork of the process, which threads do not follow.
        """
        assert not self._is_closed, "the executor is closed"
        if not self._thread.is_alive():
            raise StepError("a model cannot be used in a fork of its process; load it there")
        self._num_unreported += 1
        self._frames.put(frame)

    def wait(self) -> StepResult:
        """The result of the oldest step submitted. Raises StepError, from then on always."""
        assert self._num_unreported or self._failure, "no step was submitted"
        result = None
        if self._num_unreported:
            result = self._results.get()
            self._num_unreported -= 1
        if result is None:
            raise failed_by(self._failure)
        return result

    def close(self) -> None:
        """Ends the thread after the step that it is in; what is queued is not run."""
        if self._is_closed:
            return
        self._is_closed = True
        self._failure = self._failure or StepError("the executor was closed")
        self._frames.put(None)
        if self._thread is not current_thread():  # a garbage collection may run anywhere
            self._thread.join()

    def _main(self) -> None:
        while (frame := self._frames.get()) is not None:
            self._results.put(self._outcome(frame))

    def _outcome(self, frame: Frame) -> StepResult | None:
        if self._failure is None:
            try:
                return self._run(frame)
            except Exception as error:
                self._failure = self._failure or error
        return None
