"""From reports of steps to outputs: whose tokens are whose, and the text that they become."""

from collections.abc import Sequence
from itertools import count

from ..debug import topic_log
from ..errors import InputError, shown
from .generation import Generation
from .outputs import RequestOutput
from .request import Cancel, Finished, Request, StepReport
from .seeds import mix


class OutputProcessor:
    """The generations that are not done; `seed` is that of requests which bring none."""

    def __init__(self, seed: int = 0) -> None:
        self._seed, self._seed_ids = seed, count()
        self._generations: dict[str, Generation] = {}
        self._new: list[Generation] = []  # that are not prepared
        self._children: dict[str, tuple[Generation, int]] = {}  # by the scheduler's request ids
        self._log_requests = topic_log("requests")

    def __len__(self) -> int:
        return len(self._generations)

    def add(self, generations: Sequence[Generation], now_s: float) -> list[Request]:
        """Takes all of these or none; gives the requests to queue for them.

        Raises InputError for a request id that is in use.
        """
        self._check_ids(generations)
        requests = []
        for generation in generations:
            self._generations[generation.request_id] = generation
            self._new.append(generation)
            for index, request in enumerate(generation.start(self._seeds(generation), now_s)):
                self._children[request.request_id] = generation, index
                requests.append(request)
            if self._log_requests:
                num_tokens = len(generation.requests[0].prompt_token_ids)
                self._log_requests(
                    "%s arrives, %d tokens of prompt", generation.request_id, num_tokens
                )
        return requests

    def prepare(self) -> None:
        """Does what new requests need before their first report, once they are on their way."""
        new, self._new = self._new, []
        for generation in new:
            generation.prepare()

    def abort(self, request_id: str) -> list[Cancel]:
        """What ends a request with finish_reason "abort"; nothing for one that has ended."""
        generation = self._generations.get(request_id)
        requests = generation.requests if generation else ()
        return [Cancel(request.request_id, "abort") for request in requests]

    def clear(self) -> list[Generation]:
        """Forgets all generations; gives them."""
        generations = list(self._generations.values())
        self._generations.clear()
        self._new.clear()
        self._children.clear()
        return generations

    def process(self, report: StepReport) -> tuple[list[RequestOutput], list[Cancel]]:
        """Outputs of what ended and what added to streams, and whom the scheduler has to end."""
        self.prepare()
        touched: dict[str, Generation] = {}
        cancels = []
        for progress in report.progress:
            generation, index = self._children[progress.request_id]
            touched[generation.request_id] = generation
            assert report.result is not None, "progress is of a result"
            cancel = generation.push(index, progress, report.result)
            if cancel is not None:
                cancels.append(cancel)
        for finished in report.finished:
            generation = self._finish(finished)
            touched[generation.request_id] = generation
        outputs = [generation.report() for generation in touched.values()]
        return [output for output in outputs if output is not None], cancels

    def _finish(self, finished: Finished) -> Generation:
        generation, index = self._children.pop(finished.request_id)
        generation.finish(index, finished)
        if self._log_requests:
            num_tokens, reason = len(finished.token_ids), finished.finish_reason
            self._log_requests(
                "%s ends after %d tokens: %s", finished.request_id, num_tokens, reason
            )
        if generation.is_finished:
            del self._generations[generation.request_id]
        return generation

    def _check_ids(self, generations: Sequence[Generation]) -> None:
        seen: set[str] = set()
        for request_id in (generation.request_id for generation in generations):
            if request_id in self._generations or request_id in seen:
                raise InputError(
                    f"request_id={shown(request_id)} is in use; give each request its own"
                )
            seen.add(request_id)

    def _seeds(self, generation: Generation) -> list[int]:
        """One for each completion; the first has the seed that was given, if one was."""
        seed = generation.params.seed
        if seed is None or seed == -1:  # vLLM's -1 means none
            seed = mix(self._seed, next(self._seed_ids))
        return [seed, *(mix(seed, index) for index in range(1, generation.params.n))]
