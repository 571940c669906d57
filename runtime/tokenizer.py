"""Text to token ids and back, from the tokenizer files that an artifact or a checkpoint holds."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifact.tokenizer_file import TOKENIZER, read_tokenizer
from ..errors import CheckpointError, InputError, TapeoutError, shown

if TYPE_CHECKING:
    from .chat_template import ChatTemplate, Message

_LONG_TEXT = 4096  # characters
_PANIC = "PanicException"  # of the library; no Exception, and its class cannot be imported
_TOKEN_FIELDS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


class TextError(TapeoutError):
    """The tokenizer's library can make no text of token ids."""


class Tokenizer:
    """`tokenizer.json` of a folder, with its special tokens and its chat template."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._backend = read_tokenizer(tokenizer_file(folder))
        self._backend.no_padding()
        self._backend.no_truncation()
        self._config = {
            **_read_json(folder / "special_tokens_map.json"),
            **_read_json(folder / "tokenizer_config.json"),
        }
        self._template: ChatTemplate | None = None
        self._token_texts: dict[int, str] = {}  # at most one for each token of the vocabulary

    @property
    def vocab_size(self) -> int:
        """Tokens that it knows, added ones included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def token_id(self, text: str) -> int | None:
        """The token that a text is, if it is one by itself in the vocabulary."""
        token_id: int | None = self._backend.token_to_id(text)
        return token_id

    def special_tokens(self) -> dict[str, str]:
        """`bos_token`, `eos_token` and so on, those that there are."""
        texts = {name: _token_text(self._config.get(name)) for name in _TOKEN_FIELDS}
        return {name: text for name, text in texts.items() if text is not None}

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The token ids of a text. Raises InputError for a text that is not Unicode."""
        try:
            if len(text) > _LONG_TEXT:  # the batched call lets other threads run meanwhile
                [encoding] = self._backend.encode_batch(
                    [text], add_special_tokens=add_special_tokens
                )
                return encoding.ids
            return self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        except (UnicodeError, TypeError) as error:
            raise InputError(f"prompt {shown(text)} is not valid text: {error}") from None

    def encode_as_text(self, text: str) -> list[int]:
        """The token ids of a text, no special token among them whatever it spells."""
        token_ids: list[int] = self._plain_backend.encode(text, add_special_tokens=False).ids
        return token_ids

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of token ids; ids that it does not know give nothing. Raises TextError."""
        try:
            return self._backend.decode(token_ids, skip_special_tokens=skip_special_tokens)
        except BaseException as error:
            if isinstance(error, Exception) or type(error).__name__ == _PANIC:
                raise TextError(f"token ids {shown(token_ids)}: {error}") from error
            raise

    def token_text(self, token_id: int) -> str:
        """The text of one token by itself, also of a special one."""
        text = self._token_texts.get(token_id)
        if text is None:
            text = self.decode([token_id], skip_special_tokens=False)
            self._token_texts[token_id] = text
        return text

    @cached_property
    def special_texts(self) -> list[str]:
        """What special tokens are spelled like, the longest first."""
        added = self._backend.get_added_tokens_decoder().values()
        return sorted((t.content for t in added if t.special), key=len, reverse=True)

    @cached_property
    def _plain_backend(self) -> Any:
        backend = type(self._backend).from_str(self._backend.to_str())
        backend.encode_special_tokens = True  # by which the library means: as text
        return backend

    @cached_property
    def longest_token_characters(self) -> int:
        """The most characters that one token may stand for."""
        return max(map(len, self._backend.get_vocab(with_added_tokens=True)), default=1)

    @cached_property
    def puts_spaces_between_special_tokens(self) -> bool:
        """Whether decoding adds spaces that are in no token."""
        special = [
            t for t, added in self._backend.get_added_tokens_decoder().items() if added.special
        ]
        pairs = [[token_id, token_id] for token_id in special[:1]]
        return any(
            self._backend.decode(pair, skip_special_tokens=False)
            != "".join(self.token_text(token_id) for token_id in pair)
            for pair in pairs
        )

    def render_chat(self, messages: "Sequence[Message]", **options: Any) -> str:
        """The prompt text of a chat. Raises InputError if there is no template for it."""
        if self._template is None:
            from .chat_template import ChatTemplate

            text = self.chat_template()
            if text is None:
                raise InputError(f"{self._folder} has no chat template; give a prompt instead")
            self._template = ChatTemplate(text, self.special_tokens())
        return self._template.render(messages, **options)

    def chat_template(self) -> str | None:
        """The text of the chat template; None if the model has none."""
        file = self._folder / "chat_template.jinja"
        if file.is_file():
            return file.read_text(encoding="utf-8")
        template = self._config.get("chat_template")
        if isinstance(template, list):  # several, by name
            named = {entry["name"]: entry["template"] for entry in template}
            template = named.get("default")
        return template if isinstance(template, str) else None


def tokenizer_file(folder: Path) -> Path:
    """Where a folder's tokenizer is. Raises InputError if it has none."""
    path = folder / TOKENIZER
    if not path.is_file():
        raise InputError(
            f"{folder} has no {TOKENIZER}; put the model's beside its weights and compile it "
            "anew, or in Python give tokenizer=FOLDER, or skip_tokenizer_init=True and prompts of "
            "token ids"
        )
    return path


def _token_text(value: Any) -> str | None:
    """A special token is written as its text, or as a record that holds it."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(path, "content", str(error), "JSON") from None
    return content if isinstance(content, dict) else {}
