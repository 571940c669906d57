"""Sampling in plain numpy, written from its description and not from the code under test.

Rows are f32[V]. Sets are found from distinct values and how often each occurs.
"""

import numpy as np

F32 = np.float32


def adjusted(logits, sampling, tokens, num_prompt_tokens):
    """Mask, then edits in order, then repetition, frequency and presence penalties."""
    x = logits.astype(F32).copy()
    if sampling.mask is not None:
        words = sampling.mask.view(np.uint32)
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: len(x)]
        x[bits == 0] = -np.inf
    if sampling.edits is not None:
        for edit in range(len(sampling.edits.token_ids)):
            if _matches(sampling.edits, edit, tokens):
                x[sampling.edits.token_ids[edit]] += sampling.edits.values[edit]
    for token in set(tokens):
        x[token] = _penalized(x[token], sampling, tokens[num_prompt_tokens:].count(token))
    return x


def _matches(edits, edit, tokens):
    prefix = edits.prefix_tokens[edits.prefix_starts[edit] : edits.prefix_starts[edit + 1]].tolist()
    ends_so = len(prefix) <= len(tokens) and tokens[len(tokens) - len(prefix) :] == prefix
    return len(tokens) < edits.ends[edit] and ends_so


def _penalized(x, sampling, count):
    repetition = F32(sampling.repetition_penalty)
    x = x / repetition if x > 0 else x * repetition
    x = x - F32(sampling.frequency_penalty) * F32(count)
    return x - F32(sampling.presence_penalty) * F32(count > 0)


def scores(x, sampling):
    """x / temperature with minus infinity where top-k, top-p or min-p leaves a token out."""
    if sampling.temperature == 0:
        return x
    with np.errstate(over="ignore"):
        z = x / F32(sampling.temperature)
    return np.where(allowed(z.astype(np.float64), sampling), z, F32(-np.inf))


def allowed(z, sampling):
    """Which of the scores f64[V] may be drawn: bool[V]."""
    keep = np.ones(len(z), bool)
    if 0 < sampling.top_k < len(z):
        keep &= z >= np.sort(z)[-sampling.top_k]
    if z.max() == -np.inf:
        return keep
    if sampling.top_p < 1:
        values, counts = np.unique(z[keep], return_counts=True)
        values, counts = values[::-1], counts[::-1]
        mass = np.cumsum(counts * np.exp(values - values[0]))
        enough = np.flatnonzero(mass >= np.float64(F32(sampling.top_p)) * mass[-1])
        keep &= z >= values[enough[0]]
    return keep & (np.exp(z - z.max()) >= np.float64(F32(sampling.min_p)))


def probabilities(logits, sampling, tokens, num_prompt_tokens):
    """Of each token to be drawn, f64[V]; the temperature is above 0."""
    z = scores(adjusted(logits, sampling, tokens, num_prompt_tokens), sampling)
    mass = np.exp(z.astype(np.float64) - z.max())
    return mass / mass.sum()


def drawn(z, noise_of_spans, noise):
    """The largest sum with noise among places, in the span whose mass has the largest."""
    spans = [z[first : first + 1024].astype(np.float64) for first in range(0, len(z), 1024)]
    sums = [F32(mass(span)) + n for span, n in zip(spans, noise_of_spans, strict=True)]
    first = 1024 * int(np.argmax(sums))
    return first + int(np.argmax((z + noise)[first : first + 1024]))


def mass(z):
    """log(sum(exp(z)))"""
    top = z.max()
    return top + np.log(np.exp(z - top).sum()) if np.isfinite(top) else top
