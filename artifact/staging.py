"""The temporary folder a build writes into, and how it becomes the artifact.

It is a sibling of the target, named `.<name>.tmp-<random>`, and locked while its builder lives, so
that the next builder can tell what a dead one has left behind.
"""

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from . import files
from .schema import MANIFEST, MANIFEST_DIGEST

log = logging.getLogger(__name__)


def check_replaceable(target: Path) -> None:
    """Refuses a target that exists and is not an artifact: a build never deletes anything else."""
    if not os.path.lexists(target):
        return
    names = set(os.listdir(target)) if target.is_dir() and not target.is_symlink() else {""}
    if names and not {MANIFEST, MANIFEST_DIGEST} <= names:
        raise InputError(
            f"{target} exists and is not an artifact (it has no {MANIFEST_DIGEST}); "
            "give another output name, or move it away"
        )


def make(target: Path) -> tuple[Path, int | None]:
    """A new folder beside `target` and the descriptor that locks it, None where none can."""
    while True:
        folder = target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}")
        files.make_folder(folder)
        try:
            descriptor = files.lock_folder(folder)
        except FileNotFoundError:
            continue  # swept in the instant before it was locked
        except OSError:
            return folder, None
        if descriptor is not None and folder.exists():
            return folder, descriptor
        if descriptor is not None:
            os.close(descriptor)


def sweep(target: Path) -> None:
    """Removes what dead builders of `target` left; puts back a target one had stepped aside."""
    for name in sorted(os.listdir(target.parent), reverse=True):  # x.aside before x
        if name.startswith(_prefix(target)):
            with suppress(OSError):
                _sweep_one(target.with_name(name), target)


def install(staged: Path, target: Path) -> None:
    """Puts the staged artifact in the target's place: at every instant the old or the new is there.

    When it raises, the old one is back in place. The replaced one is deleted.
    """
    replaced = _swap_in(staged, target)
    try:
        files.sync_folder(target.parent)
    except OSError:
        if replaced:
            files.exchange(staged, target)
        else:
            os.rename(target, staged)
        raise
    if replaced:
        discard(staged)


def discard(folder: Path) -> None:
    """Removes a folder of ours; what cannot be removed is left to the next builder's sweep."""
    try:
        files.remove_tree(folder)
    except OSError as error:
        log.warning("left %s behind: %s; the next build removes it", folder, error)


def _prefix(target: Path) -> str:
    return f".{target.name}.tmp-"


def _swap_in(staged: Path, target: Path) -> bool:
    while True:
        with suppress(FileExistsError):
            files.rename_to_new(staged, target)
            return False
        check_replaceable(target)
        with suppress(FileNotFoundError):
            files.exchange(staged, target)
            return True


def _sweep_one(folder: Path, target: Path) -> None:
    owner = folder.with_name(folder.name.removesuffix(files.ASIDE))
    descriptor = files.lock_folder(owner if owner.exists() else folder)
    if descriptor is None:
        return  # its builder lives
    try:
        if folder != owner and not target.exists():
            files.rename_to_new(folder, target)
        else:
            files.remove_tree(folder)
    finally:
        os.close(descriptor)
