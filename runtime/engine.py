"""The engine: requests in, outputs out, one step at a time, in the caller's thread.

The text of one step is made while the executor computes the next.
"""

import time
from collections.abc import Callable, Sequence

from .engine_core import EngineCore, StepRunner
from .generation import Generation
from .grammars.compiler import GrammarCompiler
from .output_processor import OutputProcessor
from .outputs import RequestOutput
from .scheduler import Scheduler


class Engine:
    """A core and the generations that it works for; once a step has failed nothing is left."""

    def __init__(
        self,
        runner: StepRunner,
        scheduler: Scheduler,
        grammars: GrammarCompiler,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.core = EngineCore(runner, scheduler, grammars, clock)
        self.scheduler = scheduler
        self._processor = OutputProcessor(seed)

    @property
    def num_unfinished(self) -> int:
        """Requests whose last output has not been given."""
        return len(self._processor)

    @property
    def is_idle(self) -> bool:
        """Whether a step would change nothing."""
        return self.core.is_idle

    def check_alive(self) -> None:
        """Raises EngineDeadError if a step has failed."""
        self.core.check_alive()

    def check_room(self, generations: Sequence[Generation]) -> None:
        """Raises QueueFullError if the queue has no room for all of these."""
        self.core.check_room([request for g in generations for request in g.requests])

    def add(self, generations: Sequence[Generation]) -> None:
        """Queues all of these or none.

        Raises InputError for a request id that is in use, QueueFullError, or EngineDeadError.
        """
        self.check_alive()
        self.check_room(generations)
        self.core.add(self._processor.add(generations, self.core.clock()))

    def abort(self, request_id: str) -> None:
        """Ends a request with finish_reason "abort"; one that has ended is passed over."""
        self.core.put(self._processor.abort(request_id))

    def take_result(self) -> None:
        """Waits for the oldest step where the next cannot be planned without what it gave."""
        try:
            self.core.take_result()
        except BaseException:
            self._processor.clear()
            raise

    def step(self) -> list[RequestOutput]:
        """Plans and queues a step. Gives what the reported one ended, and added to streams."""
        try:
            with self.core.dying_by_errors():
                outputs, cancels = self._processor.process(self.core.step())
        except BaseException:
            self._processor.clear()
            raise
        self.core.put(cancels)
        return outputs
