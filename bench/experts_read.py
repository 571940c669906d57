"""Which routed experts a decode step reads: as its kernels are told, layer by layer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tapeout.artifact import Artifact, Described, Launch, Operand
from tapeout.runtime.limits import Limits
from tapeout.runtime.load import open_model
from tapeout.verification.sequences import PackedSteps, Sequence
from tapeout.verification.subject import Subject
from tapeout.verification.tensors import tensor_at


def experts_read(artifact: Path, prompts: list[list[int]]) -> list[int]:
    """Distinct experts that each layer with a router reads, for the last token of each prompt."""
    longest = max(map(len, prompts))
    limits = Limits(
        max_model_len=longest,
        max_num_seqs=len(prompts),
        max_num_batched_tokens=max(longest, len(prompts)),
        max_logit_rows=max(longest, len(prompts)),
    )
    loaded = open_model(artifact, limits)
    steps, subject = PackedSteps(loaded), Subject(Artifact.open(artifact), loaded)
    sequences = [Sequence(prompt) for prompt in prompts]
    try:
        for sequence in sequences:
            steps.run([sequence], [len(sequence.token_ids) - 1])
        return list(_counts(steps, subject, sequences))
    finally:
        steps.close()


def _counts(steps: PackedSteps, subject: Subject, sequences: list[Sequence]) -> Iterator[int]:
    """Plays the step up to each layer's experts: what was chosen is then there."""
    frame = steps.frame(sequences, [1] * len(sequences))
    tape = Described(subject.target, subject.tapes).choose("step", len(sequences), True)
    [name] = [name for name, other in subject.tapes.items() if other is tape]
    subject.executor.send(frame)
    played = 0
    for number, launch in _first_of_experts(tape.launches, subject):
        region = subject.module.functions[subject.kernels[launch.kernel].region]
        [chosen] = [node.operands[1] for node in region.nodes if node.op == "experts"]
        operand = Operand("param", region.params.index(chosen))
        buffer = launch.buffers[subject.kernels[launch.kernel].operands.index(operand)]
        subject.executor.play_part(name, frame, played, number)
        played = number
        shape = chosen.type.concrete(subject.symbols(frame))
        indices = tensor_at(subject.executor.place(buffer), chosen.dtype, shape)
        yield len(np.unique(indices.cpu().numpy()))


def _first_of_experts(launches: list[Launch], subject: Subject) -> Iterator[tuple[int, Launch]]:
    """The launches that begin a layer's experts, with their places in the tape."""
    kernels = [subject.kernels[launch.kernel] for launch in launches]
    for number, kernel in enumerate(kernels):
        is_first = number == 0 or kernels[number - 1].region != kernel.region
        if kernel.routing is not None and is_first:
            yield number, launches[number]
