"""The model as requests see it: its names, its tokenizer and what it takes."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError, shown
from ..runtime.chat_prompt import chat_prompt
from ..runtime.checks import check_in_vocabulary
from ..runtime.grammars.compiler import GrammarCompiler
from ..runtime.grammars.params import StructuredOutputsParams
from ..runtime.grammars.sources import source_of
from ..runtime.inputs import TokenizedPrompt, list_prompts
from ..runtime.intake import Intake, RequestOptions
from ..runtime.sampling_params import RequestOutputKind, SamplingParams
from ..runtime.tokenizer import Tokenizer
from .answer_parser import AnswerParser
from .api_errors import ApiError
from .engine_client import MakeGeneration
from .frames import Hello
from .parsers.registry import call_format, calls_parser, detect_call_format, thinks
from .parsers.thinking import CLOSING, OPENING, ThinkingParser
from .tool_grammar import GrammarWriter

_LONG = 4096  # characters or ids: tokenizing more would hold up the event loop

T = TypeVar("T")


class ServedModel:
    """Made of what the engine has loaded; of no use for computing."""

    def __init__(
        self,
        hello: Hello,
        names: Sequence[str],
        max_output_tokens: int | None,
        tool_format: str = "auto",
    ) -> None:
        self.folder = folder = Path(hello.artifact)
        self.target = hello.target
        self.names = list(names)
        self.created_s = int(time.time())
        self.tokenizer, self.bounds = Tokenizer(folder), hello.bounds
        bounds = hello.bounds
        self._grammars = GrammarCompiler(folder, bounds.vocab_size, bounds.eos_token_ids)
        self._intake = Intake(self.tokenizer, bounds, hello.enable_prefix_caching, self._grammars)
        self._max_output_tokens = max_output_tokens
        template = self.tokenizer.chat_template()
        self._thinks = thinks(template)
        is_named = tool_format != "auto"
        self.call_format = call_format(tool_format) if is_named else detect_call_format(template)
        self.grammar_writer = GrammarWriter(self.tokenizer.token_id)

    def name(self, asked: str | None) -> str:
        """The name to answer with. Raises ApiError for one that is not served."""
        if asked is None or asked in self.names:
            return asked or self.names[0]
        raise ApiError(
            404,
            f"model={shown(asked)} is not served here; ask for {', '.join(self.names)}",
            param="model",
            code="model_not_found",
        )

    async def checked(self, params: SamplingParams) -> SamplingParams:
        """Params that can be used here. Raises InputError, naming what cannot."""
        most = self._max_output_tokens
        if most is not None:
            if params.max_tokens is not None and params.max_tokens > most:
                raise InputError(f"max_tokens={params.max_tokens} is more than {most}; lower it")
            params = params.clone()
            params.max_tokens = params.max_tokens or most
        checked = self._intake.checked(params)
        if checked.structured_outputs is not None:  # so that it is known when it is asked for
            await asyncio.to_thread(self._compile, checked.structured_outputs)
        return checked

    def _compile(self, asked: StructuredOutputsParams) -> None:
        self._grammars.compile(source_of(asked))

    async def prompts(self, given: Any, params: SamplingParams) -> list[TokenizedPrompt]:
        """Checked prompts of what a request gives: a text, token ids, or a list of either."""

        if given == []:
            raise InputError("prompt=[] is empty; give at least one text or token id")

        def tokenized() -> list[TokenizedPrompt]:
            return [self._intake.tokenized(prompt, params) for prompt in list_prompts(given)]

        return await _off_the_loop(_size(given), tokenized)

    async def chat_prompt(
        self, messages: Sequence[Mapping[str, Any]], params: SamplingParams, **options: Any
    ) -> TokenizedPrompt:
        """The prompt that a chat becomes; special tokens are those of the template alone."""
        tokenized = partial(self._intake.chat, messages, params, **options)
        return await _off_the_loop(_size(list(messages)), tokenized)

    async def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_special_tokens: bool = False,
        **options: Any,
    ) -> list[int]:
        """The tokens of a chat of any length."""

        def encode() -> list[int]:
            prompt = chat_prompt(self.tokenizer, messages, **options)
            if prompt.token_ids is not None:
                return list(prompt.token_ids)
            return self.tokenizer.encode(prompt.text or "", add_special_tokens)

        return await _off_the_loop(_size(list(messages)), encode)

    async def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """The tokens of a text of any length."""
        encode = partial(self.tokenizer.encode, text, add_special_tokens)
        return await _off_the_loop(len(text), encode)

    async def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens, special ones too. Raises InputError for what is no token."""
        check_in_vocabulary("tokens", token_ids, self.bounds.vocab_size)
        decode = partial(self.tokenizer.decode, token_ids, skip_special_tokens=False)
        return await _off_the_loop(len(token_ids), decode)

    def thinking(self, prompt: TokenizedPrompt) -> bool | None:
        """Whether the prompt ends within thoughts; None if the model has none."""
        text = prompt.text or ""
        return text.rfind(OPENING) > text.rfind(CLOSING) if self._thinks else None

    def parser(
        self, prompt: TokenizedPrompt, tool_names: Sequence[str], max_calls: int | None
    ) -> AnswerParser:
        """What cuts an answer to this prompt into thoughts, text and calls of these tools."""
        thinking = None
        if (is_open := self.thinking(prompt)) is not None:
            thinking = ThinkingParser(is_open)
        return AnswerParser(thinking, calls_parser(self.call_format, tool_names), max_calls)

    def generation(
        self,
        prompt: TokenizedPrompt,
        params: SamplingParams,
        options: RequestOptions,
        kind: RequestOutputKind,
    ) -> MakeGeneration:
        """What makes the generation, under any request id."""
        return partial(
            self._intake.generation, prompt=prompt, params=params, options=options, kind=kind
        )


async def _off_the_loop(size: int, work: Callable[[], T]) -> T:
    """Runs what takes long in a thread, so that others are served meanwhile."""
    return await asyncio.to_thread(work) if size > _LONG else work()


def _size(value: Any) -> int:
    """Characters, ids and entries in it, all in all."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return 1 + sum(map(_size, value.values()))
    if isinstance(value, (list, tuple)):
        return len(value) + sum(_size(entry) for entry in value if not isinstance(entry, int))
    return 1
