"""What `LLM` and `AsyncLLM` share: a loaded model with its tokenizer, its intake and its engine."""

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import InputError
from .checks import check_flag, check_whole
from .inputs import TokenizedPrompt
from .intake import Intake
from .limits import DEFAULT_MEMORY_UTILIZATION, Limits
from .load import AnyExecutor, check_is_model, open_model
from .phases import Phases
from .sampling_params import SamplingParams
from .tokenizer import Tokenizer, tokenizer_file

_MAX_WAITING = 2**31 - 1


class Model:
    """A model ready to generate.

    `model` is an artifact, opened as it is, or a checkpoint folder, compiled into the cache first.
    `dtype`, `quantization` and `tensor_parallel_size` are properties of the compiled model: of an
    artifact they are checked, never changed. `gpu_memory_utilization` is the share of the GPU's
    memory, or of this machine's without one, that weights, arena and key-value pages may take
    together; the pages take what `max_num_seqs` sequences of `max_model_len` tokens need, on a CPU
    at most 4 GiB, or exactly what fits in `kv_cache_bytes`. A step has up to
    `max_num_batched_tokens` tokens; like `max_num_seqs` they are by default as many as suit a GPU,
    or a CPU (`runtime/limits.py`). With `enable_prefix_caching` prompts that begin alike share what
    was computed, if they have the same `cache_salt`. A request that would make more than
    `max_num_waiting` wait, or more than `max_waiting_tokens` tokens of theirs, is refused by a
    QueueFullError; None sets no bound. With `enforce_eager` no graph is captured on a GPU; the CPU
    has none. `startup_s` has the seconds that each part of loading took, in order.

    Raises InputError or CapacityError, naming value, limit and remedy, before anything is loaded.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        tokenizer: str | os.PathLike[str] | None = None,
        skip_tokenizer_init: bool = False,
        dtype: object = "auto",
        quantization: str | None = None,
        tensor_parallel_size: int = 1,
        max_model_len: int | None = None,
        max_num_seqs: int | None = None,
        max_num_batched_tokens: int | None = None,
        max_num_waiting: int | None = None,
        max_waiting_tokens: int | None = None,
        gpu_memory_utilization: float = DEFAULT_MEMORY_UTILIZATION,
        kv_cache_bytes: int | None = None,
        enable_prefix_caching: bool = True,
        seed: int = 0,
        load_format: str = "auto",
        num_threads: int | None = None,
        enforce_eager: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        if trust_remote_code:
            raise InputError("trust_remote_code=True is not supported; leave it out")
        check_flag("enable_prefix_caching", enable_prefix_caching)
        check_flag("enforce_eager", enforce_eager)
        check_whole("seed", seed, -(2**63), 2**63 - 1)
        queue = {"max_num_waiting": max_num_waiting, "max_waiting_tokens": max_waiting_tokens}
        for name, value in queue.items():
            if value is not None:
                check_whole(name, value, 1, _MAX_WAITING)
        check_is_model(Path(model))
        if not skip_tokenizer_init:
            tokenizer_file(Path(tokenizer or model))  # missing: said before the work, not after
        limits = Limits(
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            kv_cache_bytes=kv_cache_bytes,
            gpu_memory_utilization=gpu_memory_utilization,
        )
        loaded = open_model(
            Path(model),
            limits,
            dtype,
            quantization,
            tensor_parallel_size,
            load_format,
            num_threads,
            enforce_eager,
        )
        self.artifact_path = loaded.folder
        self.target_name = loaded.target_name
        self.memory_plan = loaded.plan
        self.executor = loaded.executor
        self.startup_s = Phases({"opening": loaded.opening_s, **loaded.executor.startup_s})
        folder = Path(tokenizer) if tokenizer is not None else loaded.folder
        with ExitStack() as undo:  # an error may be kept, and with it this frame and the memory
            undo.callback(loaded.executor.close)
            with self.startup_s.timed("engine"):
                grammars = loaded.grammars(None if skip_tokenizer_init else folder)
                self.engine = loaded.engine(grammars, seed, enable_prefix_caching, **queue)
            with self.startup_s.timed("tokenizer"):
                self._tokenizer = None if skip_tokenizer_init else Tokenizer(folder)
            undo.pop_all()
        self._close: Callable[[], Any] = weakref.finalize(self, self._set_up(loaded.executor))
        self.bounds = loaded.bounds()
        self._intake = Intake(self._tokenizer, self.bounds, enable_prefix_caching, grammars)

    def get_tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises InputError if there is none."""
        if self._tokenizer is None:
            raise InputError("there is no tokenizer; load the model without skip_tokenizer_init")
        return self._tokenizer

    def render_chat(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> TokenizedPrompt:
        """The prompt that a chat becomes; special tokens are those of the template alone."""
        return self._rendered(messages, SamplingParams(), options)

    def _rendered(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams,
        options: Mapping[str, Any],
    ) -> TokenizedPrompt:
        return self._intake.chat(messages, params, **options)

    def _set_up(self, executor: AnyExecutor) -> Callable[[], Any]:
        """Makes what a subclass needs beside; gives what ends all of it, without `self`."""
        return executor.close
