"""Checkpoints given where an artifact is wanted: compiled once, kept in the cache folder."""

import hashlib
import json
import logging
import os
import sys
from importlib import metadata
from pathlib import Path

from .. import settings
from .compiler import load_compiler
from .progress import BuildProgress

log = logging.getLogger(__name__)

_MAX_HASHED_BYTES = 1 << 20  # larger files count by size and time of change
_PACKAGES = ("tapeout", "torch", "transformers")


def compiled_artifact(checkpoint: Path, **options: object) -> Path:
    """The artifact of a checkpoint, built first if there is none of just this content.

    `options` go to the compiler, which raises InputError for one that it does not know.
    """
    key = _key(checkpoint, options)
    path = settings.CACHE.get() / f"{checkpoint.resolve().name}-{key[:16]}.tapeout"
    if path.exists():
        log.info("%s is compiled already: %s", checkpoint, path)
        return path
    sys.stderr.write(f"tapeout: compiling {checkpoint} into {path}, once\n")
    api = load_compiler()
    progress = BuildProgress()
    try:
        api.compile_model(checkpoint, output=path, target="cpu", progress=progress, **options)
    finally:
        progress.close()
    return path


def _key(checkpoint: Path, options: dict[str, object]) -> str:
    """Changes with any file of the checkpoint, what is asked for, and the compiler's version."""
    files = sorted(p for p in checkpoint.iterdir() if p.is_file() and not p.name.startswith("."))
    facts = {
        "files": [_fingerprint(path) for path in files],
        "options": options,
        "versions": [_version(package) for package in _PACKAGES],
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _fingerprint(path: Path) -> tuple[str, int, int | str]:
    info = os.stat(path)
    if info.st_size > _MAX_HASHED_BYTES:
        return path.name, info.st_size, info.st_mtime_ns
    return path.name, info.st_size, hashlib.sha256(path.read_bytes()).hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
