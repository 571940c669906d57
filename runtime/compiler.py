"""Reaches the compiler by its name, for a checkpoint alone: opening an artifact never loads it."""

from importlib import import_module
from typing import Any

from ..errors import InputError

_NEEDED = {"torch", "transformers", "safetensors"}


def load_compiler() -> Any:
    """The module `tapeout.api`. Raises InputError when this is the runtime alone."""
    try:
        return import_module("..api", __package__)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _NEEDED:
            raise
        raise InputError(
            f"compiling a checkpoint needs {error.name}, which is not installed; "
            "pip install 'tapeout[compile]', or give an artifact"
        ) from None
