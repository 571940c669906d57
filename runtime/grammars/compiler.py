"""Compiles grammars for one model; those that come again are kept."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock

from ...errors import InputError
from ..tokenizer import tokenizer_file
from .base import Grammar
from .guidance import Guidance

_NUM_KEPT = 32  # grammars, of up to some megabytes each


class GrammarCompiler:
    """Any thread may use it, and a long compilation holds up its own.

    `tokenizer_folder` is None where the model was loaded without a tokenizer.
    """

    def __init__(
        self, tokenizer_folder: Path | None, vocab_size: int, eos_token_ids: Sequence[int]
    ) -> None:
        self._folder, self._vocab_size = tokenizer_folder, vocab_size
        self.eos_token_ids = tuple(eos_token_ids)
        self._kept: OrderedDict[str, Grammar] = OrderedDict()
        self._lock = Lock()

    def compile(self, source: str) -> Grammar:
        """The grammar of a text that `source_of` gave.

        Raises InputError, naming what is not supported, or why no grammar can be used here.
        """
        with self._lock:
            grammar = self._kept.get(source)
            if grammar is not None and not grammar.is_spent:
                self._kept.move_to_end(source)
                return grammar
            guidance = self._guidance
        grammar = guidance.compile(source)
        with self._lock:
            self._kept[source] = grammar
            if len(self._kept) > _NUM_KEPT:
                self._kept.popitem(last=False)
        return grammar

    @cached_property
    def _guidance(self) -> Guidance:
        if self._folder is None:
            raise InputError(
                "structured_outputs needs a tokenizer; load the model without skip_tokenizer_init"
            )
        tokenizer_json = tokenizer_file(self._folder).read_text(encoding="utf-8")
        return Guidance(tokenizer_json, self._vocab_size, self.eos_token_ids)
