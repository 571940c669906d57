"""`/tokenize` and `/detokenize`, in vLLM's shapes."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta
from starlette.responses import Response

from ..api_errors import ApiError
from ..front import Front
from ..messages import plain_messages
from ..schemas.openai import ChatMessage
from .describing import described
from .reading import json_response, read


class TokenizeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A prompt, or a chat."""

    model: str | None = None
    prompt: str | None = None
    messages: Annotated[list[ChatMessage], Meta(min_length=1)] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    return_token_strs: bool | None = None


class Tokens(msgspec.Struct):
    """The tokens of a text."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class DetokenizeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Token ids."""

    model: str | None = None
    tokens: list[Annotated[int, Meta(ge=0, le=2**31 - 1)]]


class Text(msgspec.Struct):
    """The text of tokens."""

    prompt: str


def build_router(front: Front) -> APIRouter:
    """The routes, over a front."""
    router = APIRouter()

    @router.post("/tokenize", **described(TokenizeRequest, Tokens))
    async def tokenize(request: Request) -> Response:
        """Cuts a text or a chat into tokens."""
        asked = await read(request, TokenizeRequest)
        model = front.model
        model.name(asked.model)
        if (asked.prompt is None) == (asked.messages is None):
            raise ApiError(400, "give either prompt or messages", param="prompt")
        if asked.messages is not None:  # whose special tokens are those of its template
            token_ids = await model.encode_chat(
                plain_messages(asked.messages),
                asked.add_special_tokens is True,
                **_template_values(asked),
            )
        else:
            adds_special = asked.add_special_tokens is not False
            token_ids = await model.encode(asked.prompt or "", adds_special)
        texts = (
            [model.tokenizer.token_text(t) for t in token_ids] if asked.return_token_strs else None
        )
        return json_response(Tokens(len(token_ids), model.bounds.max_model_len, token_ids, texts))

    @router.post("/detokenize", **described(DetokenizeRequest, Text))
    async def detokenize(request: Request) -> Response:
        """Joins tokens into a text."""
        asked = await read(request, DetokenizeRequest)
        model = front.model
        model.name(asked.model)
        return json_response(Text(await model.decode(asked.tokens)))

    return router


def _template_values(asked: TokenizeRequest) -> dict[str, Any]:
    return {
        **(asked.chat_template_kwargs or {}),
        "tools": asked.tools,
        "add_generation_prompt": asked.add_generation_prompt is not False,
    }
