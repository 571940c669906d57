"""`StructuredOutputsParams`: what an output must match, in vLLM's words."""

import re
from typing import Any

import msgspec

from ...errors import InputError, shown
from ..checks import check_flag, check_texts, is_text

KINDS = ("json", "regex", "choice", "grammar", "json_object")
MAX_CHARACTERS = 1 << 18  # of a schema, or all choices
MAX_TEXT = 4096  # characters of a regular expression, a choice, or a text in a schema
_MAX_GRAMMAR = 1 << 16  # characters
_MAX_CHOICES = 4096
_NOT_HONOURED = ("disable_additional_properties", "structural_tag")


class StructuredOutputsParams(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one kind of constraint, and how JSON may be spaced.

    Raises InputError, naming the field, for a value that cannot be used.
    """

    json: str | dict[str, Any] | None = None  # a JSON schema, as text or as it is
    regex: str | None = None  # matched from end to end, in the syntax of Rust's `regex`
    choice: list[str] | None = None  # one of these texts
    grammar: str | None = None  # context-free, in Lark's notation or in GBNF
    schemas: dict[str, dict[str, Any]] | None = None  # JSON that `grammar` has where it says @name
    json_object: bool | None = None  # True: any JSON object
    disable_any_whitespace: bool = False  # none between the parts of JSON
    whitespace_pattern: str | None = None  # a regular expression for what may be between them
    disable_fallback: bool = False  # changes nothing: there is one backend
    disable_additional_properties: bool = False
    structural_tag: str | None = None

    def __post_init__(self) -> None:
        kinds = [name for name in KINDS if getattr(self, name) not in (None, False)]
        if len(kinds) != 1:
            raise InputError(
                f"structured_outputs has {' and '.join(kinds) or 'no constraint'}; give exactly "
                f"one of {', '.join(KINDS)}"
            )
        for name in _NOT_HONOURED:
            if getattr(self, name):
                raise InputError(
                    f"structured_outputs.{name}={shown(getattr(self, name))} is not honoured by "
                    "this version; leave it out"
                )
        for name in ("disable_any_whitespace", "disable_fallback"):
            check_flag(f"structured_outputs.{name}", getattr(self, name))
        self._check_constraint()

    @property
    def kind(self) -> str:
        """The one of `KINDS` that is set."""
        return next(name for name in KINDS if getattr(self, name) not in (None, False))

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema that is asked for; None for other kinds, and for one given as text."""
        if self.json_object:
            return {"type": "object"}
        return self.json if isinstance(self.json, dict) else None

    def _check_constraint(self) -> None:
        for name in ("regex", "grammar", "whitespace_pattern"):
            if getattr(self, name) is not None:
                most = _MAX_GRAMMAR if name == "grammar" else MAX_TEXT
                _check_text(name, getattr(self, name), most)
        if self.json is not None and not isinstance(self.json, (str, dict)):
            raise InputError(
                f"structured_outputs.json={shown(self.json)} is not a JSON schema; give a dict or "
                "its text"
            )
        if self.schemas is not None:
            _check_schemas(self.schemas, self.grammar)
        if self.json_object is not None:
            check_flag("structured_outputs.json_object", self.json_object)
        if self.choice is not None:
            check_texts("structured_outputs.choice", self.choice, _MAX_CHOICES, MAX_CHARACTERS)
            for text in self.choice:
                _check_text("choice", text, MAX_TEXT)
            if not self.choice:
                raise InputError("structured_outputs.choice=[] allows no text; give at least one")


def _check_schemas(schemas: Any, grammar: Any) -> None:
    named = isinstance(schemas, dict) and all(
        isinstance(name, str) and re.fullmatch("[a-z][a-z0-9_]*", name) and isinstance(schema, dict)
        for name, schema in schemas.items()
    )
    if not named or grammar is None:
        raise InputError(
            f"structured_outputs.schemas={shown(schemas)} is not a dict of schemas, named like "
            "answer_1, of a grammar that speaks of them"
        )


def _check_text(name: str, value: Any, most: int) -> None:
    if not is_text(value) or not value:
        raise InputError(f"structured_outputs.{name}={shown(value)} is not a text")
    if len(value) > most:
        raise InputError(
            f"structured_outputs.{name} has {len(value)} characters; give at most {most}"
        )
