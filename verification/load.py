"""Loads an artifact for verification: with room for the steps that are tried, and little more."""

from pathlib import Path

from ..artifact import Artifact, Target
from ..kvcache.budget import bytes_per_page
from ..runtime.choose_target import choose_target
from ..runtime.limits import Limits
from ..runtime.load import LoadedModel, open_model
from .trials import MAX_CONTEXT, PAGE_SIZE_TOKENS

_MORE_TOKENS = 64  # than any tape with a bound takes
_NUM_TOKENS, _NUM_SEQS = 128, 64  # where no tape has a bound
_MAX_ROWS = 256
_MAX_MODEL_LEN = MAX_CONTEXT + 100
_PAGES_EACH = 3  # of a sequence, but for the long one


def load(artifact: Artifact, num_threads: int | None = None) -> LoadedModel:
    """Raises InputError where no target of the artifact runs here, CapacityError for too little
    memory."""
    name, device = choose_target(artifact)
    if device is not None:
        device.close()
    limits = limits_for(artifact, artifact.manifest.targets[name], name)
    return open_model(Path(artifact.path), limits, num_threads=num_threads)


def limits_for(artifact: Artifact, target: Target, name: str) -> Limits:
    """Steps as large as the largest bucket, and some larger; sequences for the largest decode."""
    tapes = [artifact.tape(name, tape) for tape in target.tapes]
    largest = max((tape.max_rows or 0 for tape in tapes), default=0)
    decodes = [tape.max_rows for tape in tapes if tape.one_token_each and tape.max_rows]
    num_tokens = largest + _MORE_TOKENS if largest else _NUM_TOKENS
    num_seqs = max(decodes, default=_NUM_SEQS)
    max_model_len = min(artifact.manifest.model.max_position_embeddings, _MAX_MODEL_LEN)
    num_pages = 1 + _PAGES_EACH * num_seqs + -(-max_model_len // PAGE_SIZE_TOKENS)
    return Limits(
        max_model_len=max_model_len,
        max_num_seqs=num_seqs,
        max_num_batched_tokens=num_tokens,
        max_logit_rows=min(num_tokens, max(_MAX_ROWS, num_seqs)),
        kv_cache_bytes=num_pages * sum(bytes_per_page(group) for group in target.cache_groups),
    )
