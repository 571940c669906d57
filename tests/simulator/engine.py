"""The scheduler and the cache under test, as a configuration wants them."""

from tapeout.artifact import CacheGroup
from tapeout.kvcache.cache import PagedCache
from tapeout.runtime.scheduler import Scheduler

from .trace import Config


def build_scheduler(config: Config) -> Scheduler:
    """A scheduler with its cache."""
    size = config.page_size_tokens
    groups = [
        CacheGroup(
            name=f"g{index}",
            layers=1,
            page_size_tokens=size,
            page_bytes_per_layer=1,
            window=window,
        )
        for index, window in enumerate(config.windows)
    ]
    cache = PagedCache(
        groups,
        config.num_pages,
        config.max_num_seqs,
        -(-config.max_model_len // size),
        enable_prefix_caching=config.prefix_caching,
        max_tokens_in_flight=(config.depth + 1) * config.max_num_batched_tokens,
    )
    return Scheduler(
        cache,
        config.max_num_seqs,
        config.max_model_len,
        config.max_num_batched_tokens,
        max_logit_rows=config.max_logit_rows,
        max_num_waiting=config.max_num_waiting,
        max_waiting_tokens=config.max_waiting_tokens,
    )
