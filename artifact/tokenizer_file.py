"""The tokenizer among a checkpoint's or an artifact's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"


def read_tokenizer(path: Path) -> Tokenizer:
    """The file as its library reads it. Raises CheckpointError naming it."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(path, "content", str(error), "a tokenizer") from None
