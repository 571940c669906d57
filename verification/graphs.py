"""Captured graphs against the tapes that they were captured from: bit for bit."""

from collections.abc import Callable, Iterator

import numpy as np

from ..runtime.cuda.executor import CudaExecutor
from ..runtime.frame import F32, I32
from ..runtime.load import LoadedModel
from .findings import Findings
from .sequences import PackedSteps, Sequence

_NUM_STEPS = 2  # the second reads what the first has put into the cache
_CONTEXTS = (1, 17, 40, 5)

Said = list[tuple[I32, F32]]  # of each step the sampled tokens and the logits


def check_graphs(
    loaded: LoadedModel, findings: Findings, progress: Callable[[str, int, int], None]
) -> None:
    """Decode steps of every size that was captured, and of one sequence less where it is padded."""
    executor, before = loaded.executor, findings.num_faults
    assert isinstance(executor, CudaExecutor), "graphs are for GPUs"
    sizes = [*_sizes(executor.graph_sizes)]
    for done, size in enumerate(sizes):
        progress("graphs", done, len(sizes))
        by_graph, by_tape = (_decode(loaded, executor, size, graphs) for graphs in (True, False))
        for number, pairs in enumerate(zip(by_graph, by_tape, strict=True)):
            if any(one.tobytes() != other.tobytes() for one, other in zip(*pairs, strict=True)):
                findings.fault(
                    f"the graph for {size} sequences gives other bits than the tape, in step "
                    f"{number} of {_NUM_STEPS}"
                )
    findings.close("graphs", before, f"decode steps of {len(sizes)} sizes, bit for bit")


def _sizes(captured: list[int]) -> Iterator[int]:
    for smaller, size in zip([0, *captured], captured, strict=False):
        if size - 1 > smaller:
            yield size - 1
        yield size


def _decode(loaded: LoadedModel, executor: CudaExecutor, num_seqs: int, by_graph: bool) -> Said:
    """What steps of one token of each sequence say, after whatever is in the cache."""
    steps, said = PackedSteps(loaded), []
    sequences = [_sequence(i, loaded.manifest.model.vocab_size) for i in range(num_seqs)]
    executor.uses_graphs = by_graph
    for _ in range(_NUM_STEPS):
        result = executor.run(steps.frame(sequences, [1] * num_seqs))
        said.append((result.token_ids, executor.logits(num_seqs)))
        for sequence in sequences:
            sequence.num_cached += 1
    executor.uses_graphs = True
    return said


def _sequence(number: int, vocab_size: int) -> Sequence:
    context = _CONTEXTS[number % len(_CONTEXTS)]
    token_ids = np.random.default_rng(number).integers(0, vocab_size, context + _NUM_STEPS)
    return Sequence(token_ids.tolist(), num_cached=context)
