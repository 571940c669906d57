"""The constraints of the requests in an engine: which masks the scheduler is told, and when.

A grammar is compiled in a thread of its own, while the request's prompt is computed: the request
waits for its first mask, and nobody waits for the grammar.
"""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from ..request import Cancel, Mask, Request
from .compiler import GrammarCompiler
from .constraint import Constraint

_log = logging.getLogger(__name__)


class MaskMaker:
    """Knows of a request from `begin` to `forget`; for one thread."""

    def __init__(self, compiler: GrammarCompiler) -> None:
        self._compiler = compiler
        self._beginning: dict[str, Future[Constraint]] = {}
        self._constraints: dict[str, Constraint] = {}
        self._pool = ThreadPoolExecutor(1, "tapeout-grammars")  # starts with the first grammar

    @property
    def is_used(self) -> bool:
        """Whether a request has a constraint."""
        return bool(self._constraints)

    def begin(self, requests: Sequence[Request]) -> None:
        """Starts to compile the grammars of those that have one."""
        for request in requests:
            if request.grammar is not None:
                self._beginning[request.request_id] = self._pool.submit(self._constraint, request)

    def begun(self, wait_s: float = 0.0) -> list[Mask | Cancel]:
        """What may come first in the outputs whose grammars are ready; waits for one to be so."""
        if wait_s and self._beginning:
            wait(self._beginning.values(), wait_s, return_when=FIRST_COMPLETED)
        ready = [name for name, future in self._beginning.items() if future.done()]
        return [self._first(name, self._beginning.pop(name)) for name in ready]

    def follow(self, request_id: str, token_id: int) -> Mask | Cancel:
        """What may follow the token that has come."""
        return self._constraints[request_id].push(token_id)

    def forget(self, request_ids: Iterable[str]) -> None:
        """These have ended."""
        for request_id in request_ids:
            self._constraints.pop(request_id, None)
            self._beginning.pop(request_id, None)

    def _constraint(self, request: Request) -> Constraint:
        assert request.grammar is not None, "asked for a grammar"
        grammar = self._compiler.compile(request.grammar)
        return Constraint(grammar.start(), request, self._compiler.eos_token_ids)

    def _first(self, request_id: str, future: Future[Constraint]) -> Mask | Cancel:
        try:
            constraint = future.result()
        except Exception as error:
            _log.warning("a request ends, for its grammar cannot be compiled: %r", error)
            return Cancel(request_id, "grammar_error")
        self._constraints[request_id] = constraint
        return constraint.first()
