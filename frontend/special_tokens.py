"""Which tokens begin and end a sequence, as `generation_config.json` or else the config says."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .strict_json import read_json_object

_MAX_JSON_BYTES = 1 << 20
_log = logging.getLogger(__name__)


def special_tokens(
    folder: Path, config: Mapping[str, Any], vocab_size: int
) -> tuple[list[int], int | None]:
    """The tokens that end a sequence, and the one that begins it.

    An id that the vocabulary lacks is left out with a warning: no step gives it, and the tables of
    sampling have no place for it. Raises CheckpointError for what is no id.
    """
    file = folder / "generation_config.json"
    generation = read_json_object(file, _MAX_JSON_BYTES) if file.is_file() else {}
    sources = (file, generation), (folder / "config.json", config)
    ends = _ids("eos_token_id", sources, vocab_size)
    begins = _ids("bos_token_id", sources, vocab_size)
    return ends, begins[0] if begins else None


def _ids(
    field: str, sources: tuple[tuple[Path, Mapping[str, Any]], ...], vocab_size: int
) -> list[int]:
    """What the first file says that has the field."""
    found = [(file, values[field]) for file, values in sources if field in values]
    file, value = found[0] if found else (None, None)
    ids = value if isinstance(value, list) else [] if value is None else [value]
    for one in ids:
        if type(one) is not int:
            raise CheckpointError(
                file, field, one, "the id of a token, a list of them or null", "correct it"
            )
    for one in ids:
        if not 0 <= one < vocab_size:
            _log.warning(
                "%s: %s=%d is left out: ids of the vocabulary go from 0 to %d",
                *(file, field, one, vocab_size - 1),
            )
    return [one for one in ids if 0 <= one < vocab_size]
