"""`LLM`: offline generation with vLLM's names, in the caller's process and thread."""

import itertools
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .inputs import PromptChecker, TokenizedPrompt, list_prompts
from .load import check_is_model, open_model
from .outputs import RequestOutput
from .plan import DEFAULT_MAX_NUM_SEQS, DEFAULT_MEMORY_UTILIZATION, Limits
from .progress import Progress
from .sampling_params import SamplingParams
from .tokenizer import Tokenizer, tokenizer_file

Params = SamplingParams | Sequence[SamplingParams] | None
UseTqdm = bool | Callable[..., Any]


class LLM:
    """A model ready to generate.

    `model` is an artifact, opened as it is, or a checkpoint folder, compiled into the cache first.
    `dtype`, `quantization` and `tensor_parallel_size` are properties of the compiled model: of an
    artifact they are checked, never changed. `gpu_memory_utilization` is the share of this
    machine's memory that weights, arena and key-value pages may take together; the pages take
    what `max_num_seqs` sequences of `max_model_len` tokens need, at most 4 GiB, or exactly what
    fits in `kv_cache_bytes`. `enforce_eager` changes nothing: no graph is captured at load.

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
        max_num_seqs: int = DEFAULT_MAX_NUM_SEQS,
        max_num_batched_tokens: int | None = None,
        gpu_memory_utilization: float = DEFAULT_MEMORY_UTILIZATION,
        kv_cache_bytes: int | None = None,
        enable_prefix_caching: bool | None = None,
        seed: int = 0,
        load_format: str = "auto",
        num_threads: int | None = None,
        enforce_eager: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        _refuse("enable_prefix_caching", enable_prefix_caching)
        _refuse("trust_remote_code", trust_remote_code)
        check_is_model(Path(model))
        if not skip_tokenizer_init:
            tokenizer_file(Path(tokenizer or model))  # missing: said before the work, not after
        limits = Limits(
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            kv_cache_bytes=kv_cache_bytes,
            memory_utilization=gpu_memory_utilization,
        )
        loaded = open_model(
            Path(model), limits, dtype, quantization, tensor_parallel_size, load_format, num_threads
        )
        folder = Path(tokenizer) if tokenizer is not None else loaded.folder
        self._tokenizer = None if skip_tokenizer_init else Tokenizer(folder)
        self.artifact_path = loaded.folder
        self.memory_plan = loaded.plan
        self.engine = loaded.engine(self._tokenizer, seed)
        self._checker = PromptChecker(self._tokenizer, loaded.vocab_size, loaded.plan.max_model_len)
        self._request_ids = itertools.count()
        self._boxes: dict[str, deque[RequestOutput]] = {}  # who waits for which request
        self._close = weakref.finalize(self, loaded.executor.close)

    def generate(
        self, prompts: Any, sampling_params: Params = None, use_tqdm: UseTqdm = True
    ) -> list[RequestOutput]:
        """Completes prompts; results are in the order of the prompts.

        `prompts` is a text, a list of texts, or in place of a text `{"prompt_token_ids": [...]}` or
        what `render_chat` gave; `sampling_params` one for all, or a list with one for each.
        Everything is checked before anything is computed.
        """
        checked = [self._checker.check(prompt) for prompt in list_prompts(prompts)]
        return self._complete(checked, self._params_for(len(checked), sampling_params), use_tqdm)

    def chat(
        self,
        messages: Any,
        sampling_params: Params = None,
        use_tqdm: UseTqdm = True,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> list[RequestOutput]:
        """Answers a chat, a list of messages, or a list of chats, through the chat template."""
        chats = [messages] if messages and isinstance(messages[0], Mapping) else list(messages)
        options = {"tools": tools, "add_generation_prompt": add_generation_prompt}
        checked = [self.render_chat(c, **options, **(chat_template_kwargs or {})) for c in chats]
        return self._complete(checked, self._params_for(len(checked), sampling_params), use_tqdm)

    def render_chat(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> TokenizedPrompt:
        """The prompt that a chat becomes; special tokens are those of the template alone."""
        text = self.get_tokenizer().render_chat(messages, **options)
        return self._checker.check(list_prompts(text)[0], add_special_tokens=False)

    def stream(
        self, prompt: Any, sampling_params: SamplingParams | None = None
    ) -> Iterator[RequestOutput]:
        """Completes one prompt; gives all that there is so far after every step.

        Leaving the loop early ends the request.
        """
        checked = self._checker.check(list_prompts([prompt])[0])
        yield from self._outputs_of([checked], [sampling_params or SamplingParams()], stream=True)

    def get_tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises InputError if there is none."""
        if self._tokenizer is None:
            raise InputError("there is no tokenizer; load the model without skip_tokenizer_init")
        return self._tokenizer

    def _params_for(self, num_prompts: int, params: Params) -> list[SamplingParams]:
        if params is None or isinstance(params, SamplingParams):
            return [params or SamplingParams()] * num_prompts
        if len(params) != num_prompts:
            raise InputError(
                f"{len(params)} sampling_params for {num_prompts} prompts; give one for all, or "
                "one for each"
            )
        return list(params)

    def _complete(
        self, prompts: list[TokenizedPrompt], params: list[SamplingParams], use_tqdm: UseTqdm
    ) -> list[RequestOutput]:
        done: dict[str, RequestOutput] = {}
        with Progress(len(prompts), use_tqdm) as progress:
            for output in self._outputs_of(prompts, params):
                done[output.request_id] = output
                progress.add(output)
        return [done[request_id] for request_id in sorted(done, key=int)]

    def _outputs_of(
        self,
        prompts: Sequence[TokenizedPrompt],
        params: Sequence[SamplingParams],
        stream: bool = False,
    ) -> Iterator[RequestOutput]:
        """Queues prompts and gives their outputs as they come; what is left at the end is aborted.

        Several of these may be open at once: each step's outputs go to those they belong to.
        """
        box: deque[RequestOutput] = deque()
        request_ids = [str(next(self._request_ids)) for _ in prompts]
        num_open = len(prompts)
        try:
            for request_id, prompt, param in zip(request_ids, prompts, params, strict=True):
                self.engine.add_request(request_id, prompt, param, stream)
                self._boxes[request_id] = box
            while num_open:
                self._step()
                while box:
                    output = box.popleft()
                    num_open -= output.finished
                    yield output
        finally:
            self._forget(request_ids)

    def _step(self) -> None:
        for output in self.engine.step():
            box = self._boxes.get(output.request_id)
            if box is not None:
                box.append(output)
            if output.finished:
                self._boxes.pop(output.request_id, None)

    def _forget(self, request_ids: Sequence[str]) -> None:
        for request_id in request_ids:
            if self._boxes.pop(request_id, None) is not None:
                self.engine.abort(request_id)


def _refuse(name: str, value: object) -> None:
    if value:
        raise InputError(f"{name}={value!r} is not supported by this version; leave it out")
