"""Compiles a checkpoint into the cache; says where the artifact is on its output."""

import logging
import os
import sys
from pathlib import Path

from ..errors import TapeoutError
from ..runtime.load import artifact_path
from .child import ChildSpec, begin

_log = logging.getLogger(__name__)


def main() -> None:
    """Exits with 2 for a checkpoint that cannot be compiled."""
    spec = begin(ChildSpec)
    options = spec.options
    try:
        path = artifact_path(Path(spec.model), options.load_format, options.dtype)
    except TapeoutError as error:
        _log.critical("the model cannot be compiled: %s", error)
        sys.exit(2)
    sys.stdout.buffer.write(os.fsencode(path))


if __name__ == "__main__":
    main()
