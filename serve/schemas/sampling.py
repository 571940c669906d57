"""What completions, chats and other requests have in common: how to sample, and who asks."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ...runtime.sampling_params import SamplingParams
from ..api_errors import ApiError
from .formats import ResponseFormat, StructuredOutputs, constraint
from .refusing import Refusing

Names = Annotated[str, Meta(max_length=1024)]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """What a stream holds beside the text."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


class SamplingRequest(Refusing, kw_only=True, forbid_unknown_fields=True):
    """The fields that every request to generate may have; their bounds are `SamplingParams`'s."""

    model: Names | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    min_tokens: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    bad_words: list[str] | None = None
    allowed_token_ids: list[int] | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    truncate_prompt_tokens: int | None = None
    structured_outputs: StructuredOutputs | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    priority: int | None = None
    cache_salt: Names | None = None
    user: Names | None = None

    def check(self) -> None:
        """Raises ApiError for a field that would otherwise be passed over."""
        super().check()
        if self.stream_options is not None and not self.stream:
            raise ApiError(
                400,
                "stream_options is for streams; leave it out, or set stream to true",
                param="stream_options",
            )

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def params(self, response_format: ResponseFormat | None = None, **own: Any) -> SamplingParams:
        """The sampling params; `own` are fields that have other names here.

        Raises InputError for a value out of bounds.
        """
        fields = {name: getattr(self, name) for name in _PARAMS}
        fields["structured_outputs"] = constraint(response_format, self.structured_outputs)
        return SamplingParams.from_optional(**fields, **own)


_PARAMS = [
    field.name
    for field in msgspec.structs.fields(SamplingParams)
    if field.name in SamplingRequest.__struct_fields__
]
