"""Rows for the sampling kernels of GPUs, run by Triton and held against the definition."""

import numpy as np
import torch
from sampling_rows import Row, _named, edits_of, mask_of, operands, region_text
from triton_regions import VARIANTS, TritonRegion

from tapeout.runtime.frame import Sampling

VOCAB = 2563  # three spans
NAMES = ("tokens", "token_table", "ranks", "top_token_ids")


def run(logits, rows, slots=None):
    """What the kernels give, and what the definition gives."""
    region = TritonRegion(region_text(logits.shape[1]), VARIANTS[-1])
    arguments, sizes = operands(region.function.params, logits, rows, slots)
    wanted, _ = operands(region.function.params, logits, rows, slots)
    found = _named(region, arguments, region.run(arguments, sizes))
    [tickets] = region.emitted.tickets
    assert not region.workspaces[tickets].any()
    return found, _named(region, wanted, region.reference(wanted, sizes))


def check(logits, rows):
    """What the kernels give is what the definition gives."""
    found, wanted = run(logits, rows)
    for name in NAMES:
        assert torch.equal(found[name], wanted[name]), name
    for name in ("chosen_logprobs", "top_logprobs"):
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-5)


def mixed_row(rng, i, vocab_size=VOCAB):
    """A request of any features after some tokens; its logprobs are wanted."""
    edits = edits_of((3, 5.0), (4, -np.inf, 12), (5, 2.0, 100, (1, 2)), (5, 4.5, 100, (1,)))
    sampling = Sampling(
        temperature=float(rng.choice([0, 0.7, 1.3, 0.1])),
        top_k=int(rng.choice([0, 1, 7, 50, vocab_size - 1])),
        top_p=float(rng.choice([1, 0.9, 0.3])),
        min_p=float(rng.choice([0, 0.05])),
        seed=int(rng.integers(-(2**62), 2**62)),
        repetition_penalty=float(rng.choice([1, 1.3, 0.8])),
        presence_penalty=float(rng.choice([0, 0.5])),
        frequency_penalty=float(rng.choice([0, 0.25, -0.3])),
        num_logprobs=5,
        num_prompt_logprobs=5,
        edits=edits if i % 3 == 0 else None,
        mask=mask_of(vocab_size, range(i, vocab_size, 2)) if i % 4 == 0 else None,
    )
    tokens = rng.integers(0, vocab_size, rng.integers(0, 40)).tolist() + [1, 2] * (i % 2)
    return Row(sampling, tokens, len(tokens) // 2, target=9 if i % 10 == 9 else -1)


def tied_row(vocab_size):
    """Rows whose sets end among equal scores, and draws that show where."""
    logits = torch.zeros(12, vocab_size)
    logits[:, 7], logits[:, vocab_size // 2 :] = 1.0, -1.0
    logits[6:] *= 0
    sets = [{"top_k": k, "seed": k} for k in (1, 2, vocab_size - 1)]
    sets += [{"top_p": p, "seed": 9} for p in (1e-6, 0.5, 0.9999)]
    samplings = [Sampling(temperature=0.5, num_logprobs=5, **one) for one in sets * 2]
    return logits, [Row(sampling) for sampling in samplings]
