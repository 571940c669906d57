"""Opens an artifact to run packed steps of it directly."""

from pathlib import Path

from tapeout.runtime.limits import Limits
from tapeout.runtime.load import open_model
from tapeout.verification.sequences import PackedSteps, Sequence

__all__ = ["Sequence", "Steps"]


class Steps(PackedSteps):
    """An open artifact with room for `max_num_tokens` tokens over all sequences."""

    def __init__(
        self,
        artifact: Path,
        max_num_tokens: int = 1024,
        num_threads: int = 1,
        kv_cache_bytes: int = 64 << 20,
        max_num_seqs: int = 40,
    ) -> None:
        limits = Limits(
            max_model_len=640,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_tokens,
            max_logit_rows=max_num_tokens,
            kv_cache_bytes=kv_cache_bytes,
        )
        super().__init__(open_model(artifact, limits, num_threads=num_threads))
