"""Where requests come in: what passes here is within every bound of the model.

It keeps no state of a request, so any thread may use it: a prompt of a million characters is
tokenized while others are served.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import InputError, shown
from .chat_prompt import chat_prompt
from .checks import check_number, check_whole, is_text
from .edits import ModelBounds, make_sampling, stop_token_ids
from .generation import Generation
from .grammars.compiler import GrammarCompiler
from .grammars.constraint import check_beginning
from .grammars.sources import source_of
from .inputs import Prompt, PromptChecker, TokenizedPrompt, list_prompts
from .request import Request
from .sampling_params import RequestOutputKind, SamplingParams
from .tokenizer import Tokenizer

_MAX_PRIORITY = 2**31 - 1
_MAX_CHARACTERS = 1024  # of a request's id, tenant and salt
_MAX_TIMEOUT_S = 1e9


class RequestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, how urgently and until when. Raises InputError for a value that cannot be used."""

    priority: int = 0  # lower goes first
    tenant: str = ""  # who shares fairly with the others of its priority
    cache_salt: str | None = None  # only requests with the same one share cached pages
    timeout_s: float | None = None  # after which it ends with what it has, by "timeout"

    def __post_init__(self) -> None:
        check_whole("priority", self.priority, -_MAX_PRIORITY, _MAX_PRIORITY)
        _check_name("tenant", self.tenant, may_be_empty=True)
        if self.cache_salt is not None:
            _check_name("cache_salt", self.cache_salt)
        if self.timeout_s is not None:
            check_number("timeout_s", self.timeout_s, 0.0, _MAX_TIMEOUT_S, is_open=True)


class Intake:
    """Makes checked generations of prompts and params; the tokenizer may be missing."""

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        model: ModelBounds,
        enable_prefix_caching: bool,
        grammars: GrammarCompiler,
    ) -> None:
        self._tokenizer, self._model = tokenizer, model
        self._shares_pages = enable_prefix_caching
        self._grammars = grammars
        self._prompts = PromptChecker(tokenizer, model)

    def prompts(
        self, prompts: Any, params: SamplingParams | Sequence[SamplingParams] | None
    ) -> list[tuple[TokenizedPrompt, SamplingParams]]:
        """Checked prompts, each with its checked params; no prompt is tokenized before all params
        are right. Raises InputError, naming what cannot be used."""
        listed = list_prompts(prompts)
        own_params = self.params_for(len(listed), params)
        return [
            (self.tokenized(prompt, own), own)
            for prompt, own in zip(listed, own_params, strict=True)
        ]

    def params_for(
        self, num_prompts: int, params: SamplingParams | Sequence[SamplingParams] | None
    ) -> list[SamplingParams]:
        """Checked params for each prompt, of one for all or a list with one for each."""
        given = _one_each(num_prompts, params)
        distinct = {id(own): own for own in given}
        checked = {key: self.checked(own) for key, own in distinct.items()}
        return [checked[id(own)] for own in given]

    def tokenized(
        self, prompt: Prompt, params: SamplingParams, add_special_tokens: bool = True
    ) -> TokenizedPrompt:
        """A prompt cut as `truncate_prompt_tokens` says. Raises InputError if it does not fit."""
        longest = params.truncate_prompt_tokens
        if longest == -1:  # leaves room for the answer
            longest = max(1, self._model.max_model_len - (params.max_tokens or 1))
        return self._prompts.check(prompt, add_special_tokens, longest)

    def chat(
        self, messages: Sequence[Mapping[str, Any]], params: SamplingParams, **options: Any
    ) -> TokenizedPrompt:
        """The prompt that a chat becomes. Raises InputError if there is no template for it."""
        if self._tokenizer is None:
            raise InputError("a chat needs a tokenizer; load the model without skip_tokenizer_init")
        prompt = chat_prompt(self._tokenizer, messages, **options)
        return self.tokenized(prompt, params, add_special_tokens=False)

    def generation(
        self,
        request_id: str,
        prompt: TokenizedPrompt,
        params: SamplingParams,
        options: RequestOptions,
        kind: RequestOutputKind | None = None,
    ) -> Generation:
        """A generation to queue of what `prompts` gave; `kind` goes before that of the params."""
        _check_name("request_id", request_id)
        if kind is not None:
            params = params.clone()
            params.output_kind = kind
        first = self._constrained(self._request(f"{request_id}/0", prompt, params, options), params)
        siblings = (f"{request_id}/{index}" for index in range(1, params.n))
        requests = [first, *(_sibling(first, child_id, params) for child_id in siblings)]
        return Generation(request_id, prompt, params, requests, self._tokenizer, options.timeout_s)

    def _constrained(self, request: Request, params: SamplingParams) -> Request:
        """The request with the grammar that its output has to match, if any; one that is right."""
        if params.structured_outputs is None:
            return request
        source, replace = source_of(params.structured_outputs), msgspec.structs.replace
        sampling = replace(request.sampling, mask=None)  # or it would be taken for the first
        request = replace(
            request,
            masked=True,
            grammar=source,
            allowed=request.sampling.mask,
            sampling=sampling,
        )
        grammar = self._grammars.compile(source)
        check_beginning(grammar, request, self._model.eos_token_ids)
        return request

    def checked(self, params: SamplingParams) -> SamplingParams:
        """A copy of params that can be used here. Raises InputError, naming what cannot."""
        if not isinstance(params, SamplingParams):
            raise InputError(f"sampling_params={shown(params)} is not a SamplingParams")
        params = params.clone()
        params.check()
        if params.stop and self._tokenizer is None:
            raise InputError(f"stop={shown(params.stop)} needs a tokenizer; use stop_token_ids")
        joins = not params.spaces_between_special_tokens and not params.skip_special_tokens
        if joins and self._tokenizer and self._tokenizer.puts_spaces_between_special_tokens:
            raise InputError(
                "spaces_between_special_tokens=False is not honoured: this tokenizer puts spaces "
                "between all tokens; leave it at True"
            )
        return params

    def _request(
        self,
        child_id: str,
        prompt: TokenizedPrompt,
        params: SamplingParams,
        options: RequestOptions,
    ) -> Request:
        """The record of the first completion; it alone tells the logprobs of the prompt.

        Where pages are not shared between requests, those of one request's completions still are.
        """
        own = child_id if params.n > 1 else None
        salt = (options.cache_salt or "") if self._shares_pages else own
        is_stream = params.output_kind is not RequestOutputKind.FINAL_ONLY
        return Request(
            request_id=child_id,
            prompt_token_ids=prompt.token_ids,
            max_tokens=params.max_tokens or self._model.max_model_len,
            sampling=make_sampling(params, len(prompt.token_ids), self._tokenizer, self._model),
            stop_token_ids=stop_token_ids(params, self._model.eos_token_ids),
            min_tokens=params.min_tokens,
            watched=is_stream or params.is_watched,
            priority=options.priority,
            tenant=options.tenant,
            cache_salt=None if salt is None else salt.encode(),
            reads_cache=params.reads_prefix_cache,
        )


def _sibling(first: Request, child_id: str, params: SamplingParams) -> Request:
    """The record of another completion of the same prompt."""
    return msgspec.structs.replace(
        first,
        request_id=child_id,
        sampling=msgspec.structs.replace(first.sampling, num_prompt_logprobs=None),
        reads_cache=not params.skip_reading_prefix_cache,
    )


def _one_each(
    num_prompts: int, params: SamplingParams | Sequence[SamplingParams] | None
) -> Sequence[SamplingParams]:
    if params is None or isinstance(params, SamplingParams):
        return [params or SamplingParams()] * num_prompts
    if not isinstance(params, (list, tuple)):
        raise InputError(f"sampling_params={shown(params)} is not a SamplingParams or a list")
    if len(params) != num_prompts:
        raise InputError(
            f"{len(params)} sampling_params for {num_prompts} prompts; give one for all, or "
            "one for each"
        )
    return params


def _check_name(name: str, value: Any, may_be_empty: bool = False) -> None:
    if not is_text(value) or len(value) > _MAX_CHARACTERS or not (value or may_be_empty):
        raise InputError(
            f"{name}={shown(value)} is not allowed; give a text of 1 to {_MAX_CHARACTERS} "
            "characters"
        )
