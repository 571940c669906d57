"""Opens an artifact: nothing of it is used before all of it has been checked.

The folder must hold exactly the files that the manifest lists, each with the size and the digest
listed there; the manifest's own digest stands in `manifest.digest`. Files are mapped read-only
once, and what was verified is the very mapping that is used afterwards.
"""

import io
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import settings
from ..errors import ArtifactError
from ..interrupts import in_threads
from .checks import REBUILD, check_manifest, check_path, check_tape
from .digests import CHUNK_BYTES, combine, digest_of
from .passes import PASSES, Passes
from .schema import MANIFEST, MANIFEST_DIGEST, SCHEMA_VERSION, Described, Manifest, Tape, Target

T = TypeVar("T")

_MAX_MANIFEST_BYTES = 64 << 20
_ATTEMPTS = 20
_COMPILE = "give the folder of one, or compile a checkpoint into one first"
_REMOVE = "remove it, or copy the artifact again from where it is whole"


class Artifact:
    """A verified artifact. Its views of weights stay valid as long as they are referenced."""

    def __init__(
        self, path: Path, manifest: Manifest, digest: str, files: dict[str, "_File"]
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest  # of the manifest, which has those of all files
        self._files = files
        self._tapes: dict[str, Tape] = {}  # that were read, by their files

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify_weights: bool = True) -> "Artifact":
        """Opens and verifies the artifact at `path`, with a thread for each core.

        Without `verify_weights` the weights' digests are left to `verify_weights`, or to who
        hashes a weight file's chunks on the way to a device and brings them to `check_chunks`.

        Raises ArtifactError that names the file, the field, what was found and what was wanted.
        """
        path = Path(path).absolute()
        for attempt in range(_ATTEMPTS):
            identity = _identity_of(path)
            try:
                return cls(path, *_load(path, verify_weights))
            except ArtifactError:  # a builder may have put another artifact in place meanwhile
                if _identity_of(path) == identity or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def read(self, name: str) -> bytes:
        """The bytes of the file `name`, as verified. Raises ArtifactError when it is not listed."""
        return bytes(self._file(name).view)

    def file_path(self, name: str) -> Path:
        """Where the verified file `name` is, for a loader that takes a path.

        Raises ArtifactError when the file has been replaced since the artifact was opened.
        """
        if _identity_of(self.path / name) != self._file(name).identity:
            raise ArtifactError(self.path / name, "file", "another file", "the one verified")
        return self.path / name

    def verify_weights(self, target: str) -> None:
        """Compares the digests of a target's weight files. Raises ArtifactError."""
        names = _weight_files(self.manifest.targets[target])
        _verify(self.path, self.manifest, {name: self._file(name) for name in names})

    def chunks(self, name: str) -> list[memoryview]:
        """The pieces of a file that are hashed one by one: of 8 MiB, the last one shorter."""
        return list(_chunks(self._file(name).view))

    def check_chunks(self, name: str, digests: Sequence[bytes]) -> None:
        """Compares a file's digest with its chunks' sha256, in order. Raises ArtifactError."""
        _check_digest(self.path, self.manifest, name, digests)

    def weight(self, target: str, name: str) -> NDArray[np.uint8]:
        """The bytes of a weight: read-only, 64-byte aligned, in the mapped file."""
        tensor = self.manifest.targets[target].weights.tensors[name]
        view = self._file(tensor.file).view
        return np.frombuffer(view, np.uint8, count=tensor.bytes, offset=tensor.offset)

    def tape(self, target: str, entry: str) -> Tape:
        """The checked tape of the entry function `entry`. Raises ArtifactError."""
        name = self.manifest.targets[target].tapes[entry]
        if name not in self._tapes:
            tape = _decode(self.read(name), Tape, self.path / name)
            check_tape(tape, self.manifest.targets[target], self.path / name)
            self._tapes[name] = tape
        return self._tapes[name]

    def passes(self) -> Passes:
        """What each pass of the build did. Raises ArtifactError."""
        return _decode(self.read(PASSES), Passes, self.path / PASSES)

    def described(self, target: str) -> Described:
        """A target with its checked tapes. Raises ArtifactError."""
        record = self.manifest.targets[target]
        return Described(record, {entry: self.tape(target, entry) for entry in record.tapes})

    def _file(self, name: str) -> "_File":
        if name not in self._files:
            raise ArtifactError(self.path, "files", f"no {name}", "a file that is listed", REBUILD)
        return self._files[name]


class _Identity(NamedTuple):
    device: int
    inode: int
    bytes: int
    changed_ns: int


class _File(NamedTuple):
    view: memoryview  # of the read-only mapping
    identity: _Identity


def _load(path: Path, verify_weights: bool) -> tuple[Manifest, str, dict[str, _File]]:
    manifest, digest = _read_manifest(path)
    _check_file_set(path, manifest)
    files = {name: _map(path / name, file.bytes) for name, file in manifest.files.items()}
    targets = () if verify_weights else manifest.targets.values()
    later = {name for target in targets for name in _weight_files(target)}
    _verify(path, manifest, {name: file for name, file in files.items() if name not in later})
    return manifest, digest, files


def _weight_files(target: Target) -> set[str]:
    return {tensor.file for tensor in target.weights.tensors.values()}


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    if not any((path / name).exists() for name in (MANIFEST, MANIFEST_DIGEST)):
        there = f"no {MANIFEST}" if path.is_dir() else "a file" if path.exists() else "nothing"
        raise ArtifactError(path, "folder", there, "an artifact", _COMPILE)
    wanted = _read_small(path / MANIFEST_DIGEST, 65)
    data = _read_small(path / MANIFEST, _MAX_MANIFEST_BYTES)
    found = f"{digest_of(data)}\n".encode()
    if found != wanted:
        texts = [line.decode(errors="backslashreplace").strip() for line in (found, wanted)]
        raise ArtifactError(path / MANIFEST, "digest", texts[0], texts[1] or "nothing", REBUILD)
    version = _decode(data, _Versioned, path / MANIFEST, "a Manifest").schema
    if version != SCHEMA_VERSION:
        remedy = "open it with the tapeout that built it, or build it again"
        raise ArtifactError(path / MANIFEST, "schema", version, SCHEMA_VERSION, remedy)
    manifest = _decode(data, Manifest, path / MANIFEST)
    check_manifest(manifest, path)
    return manifest, found.decode().strip()


class _Versioned(msgspec.Struct):
    """Of a manifest of any version."""

    schema: int


def _decode(data: bytes, kind: type[T], path: Path, wanted: str = "") -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(
            path, "JSON", str(error), wanted or f"a {kind.__name__}", REBUILD
        ) from None


def _check_file_set(path: Path, manifest: Manifest) -> None:
    wanted = {MANIFEST, MANIFEST_DIGEST, *manifest.files}
    for name in wanted:
        check_path(name)
    folders = {str(parent) for name in wanted for parent in Path(name).parents}
    try:
        found = set(_walk(path, "", folders))
    except OSError as error:
        raise ArtifactError(path, "folder", error.strerror, "a readable folder", REBUILD) from None
    if missing := sorted(wanted - found):
        raise ArtifactError(path / missing[0], "file", "nothing", "a file", REBUILD)
    if extra := sorted(found - wanted):
        raise ArtifactError(path / extra[0], "file", "an extra file", "none", _REMOVE)


def _walk(root: Path, folder: str, folders: set[str]) -> Iterator[str]:
    """Names of the files below `root`, and of whatever else is no folder of `folders`."""
    for entry in os.scandir(root / folder):
        name = f"{folder}{entry.name}"
        if entry.is_dir(follow_symlinks=False) and name in folders:
            yield from _walk(root, f"{name}/", folders)
        else:
            yield name


def _map(path: Path, num_bytes: int) -> _File:
    """The read-only mapping of a regular file of exactly `num_bytes`."""
    with _opened(path) as file:
        identity = _identity(os.fstat(file.fileno()))
        if identity.bytes != num_bytes:
            raise ArtifactError(path, "bytes", identity.bytes, num_bytes, REBUILD)
        if not num_bytes:
            return _File(memoryview(b""), identity)
        mapping = mmap.mmap(file.fileno(), num_bytes, access=mmap.ACCESS_READ)
        return _File(memoryview(mapping), identity)


def _read_small(path: Path, max_bytes: int) -> bytes:
    with _opened(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ArtifactError(path, "bytes", "more", f"at most {max_bytes}", REBUILD)
    return data


def _opened(path: Path) -> io.FileIO:
    """A regular file, opened to read; a link is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        file = io.FileIO(descriptor)  # refuses folders
    except OSError as error:
        found = error.strerror or "nothing"
        raise ArtifactError(path, "file", found, "a readable file", REBUILD) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise ArtifactError(path, "file", "a device or pipe", "a readable file", REBUILD)
    return file


def _verify(path: Path, manifest: Manifest, files: dict[str, _File]) -> None:
    """Compares the digest of every file, chunks hashed by as many threads as there are cores."""
    num_threads = settings.NUM_THREADS.get() or len(os.sched_getaffinity(0))
    chunks = {name: list(_chunks(file.view)) for name, file in files.items()}
    small = [name for name in chunks if len(chunks[name]) <= 1]
    for names in (small, *([name] for name in chunks if len(chunks[name]) > 1)):
        found = iter(in_threads(_hash, [c for name in names for c in chunks[name]], num_threads))
        for name in names:
            _check_digest(path, manifest, name, list(islice(found, len(chunks[name]))))


def _check_digest(path: Path, manifest: Manifest, name: str, digests: Sequence[bytes]) -> None:
    found, wanted = combine(list(digests)), manifest.files[name].digest
    if found != wanted:
        raise ArtifactError(path / name, "digest", found, wanted, REBUILD)


def _chunks(view: memoryview) -> Iterator[memoryview]:
    return (view[start : start + CHUNK_BYTES] for start in range(0, len(view), CHUNK_BYTES))


def _hash(chunk: memoryview) -> bytes:
    return sha256(chunk).digest()


def _identity(status: os.stat_result) -> _Identity:
    return _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _identity_of(path: Path) -> _Identity | None:
    try:
        return _identity(os.stat(path))
    except OSError:
        return None
