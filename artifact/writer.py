"""Writes an artifact so that its path holds the old artifact or the whole new one, never less.

    with ArtifactWriter("model.tapeout") as writer:
        writer.add_bytes("graph.ir", text)
        weights = writer.weights("cpu", tensors)
        for name, data in packed:
            weights.add(name, data)
        writer.commit(Manifest(..., weights=weights.finish()))

Everything goes to a temporary folder beside the target. Digests are taken on the way. `commit`
waits until all is on the disk and puts the folder in place; leaving without it drops all.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import msgspec

from . import files, staging
from .checks import check_manifest, check_path
from .digests import Digest, digest_of
from .schema import MANIFEST, MANIFEST_DIGEST, File, Manifest, encode
from .weights import MAX_FILE_BYTES, TensorSpec, WeightWriter, plan_files


class FileWriter:
    """One open file of an artifact; counts and hashes what is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self._digest = Digest()
        with files.reported(path):
            self._descriptor = files.create(path)

    def write(self, data: bytes | memoryview) -> None:
        """Appends all of `data`, a contiguous buffer. Raises BuildError."""
        left = memoryview(data).cast("B")
        self._digest.update(left)
        self.position += len(left)
        with files.reported(self.path):
            while len(left):
                left = left[files.write(self._descriptor, left) :]

    def finish(self) -> File:
        """Waits until the file is on the disk; gives its size and digest."""
        with files.reported(self.path):
            files.sync(self._descriptor)
        return File(bytes=self.position, digest=self._digest.hexdigest())

    def close(self) -> None:
        """Closes the file."""
        with files.reported(self.path):
            files.close(self._descriptor)


class ArtifactWriter:
    """Builds the artifact `path`; use it as a context manager and end with `commit`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()
        self._files: dict[str, File] = {}
        self._committed = False

    def __enter__(self) -> "ArtifactWriter":
        with files.reported(self.path):
            staging.check_replaceable(self.path)
            files.make_parents(self.path)
            staging.sweep(self.path)
            self.folder, self._lock = staging.make(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._committed:
            staging.discard(self.folder)
        if self._lock is not None:
            os.close(self._lock)
        assert self._committed or error, "an ArtifactWriter's block must end with commit()"

    @contextmanager
    def stream(self, path: str) -> Iterator[FileWriter]:
        """A new file `path` of the artifact, to be written piece by piece. Raises BuildError."""
        check_path(path)
        assert path not in self._files, f"{path} is written twice"
        self._make_folders(path)
        file = FileWriter(self.folder / path)
        try:
            yield file
            self._files[path] = file.finish()
        finally:
            file.close()

    def add_bytes(self, path: str, data: bytes | memoryview) -> None:
        """Adds the file `path` that holds `data`. Raises BuildError."""
        with self.stream(path) as file:
            file.write(data)

    def weights(
        self, target: str, tensors: Sequence[TensorSpec], max_file_bytes: int = MAX_FILE_BYTES
    ) -> WeightWriter:
        """The writer of a target's weight files; `tensors` come in the order they will be added."""
        return WeightWriter(self.stream, plan_files(target, tensors, max_file_bytes))

    def commit(self, manifest: Manifest) -> Path:
        """Writes the manifest with the files' digests, syncs all, and puts the artifact in place.

        Raises BuildError; the old artifact is then as it was.
        """
        manifest = msgspec.structs.replace(manifest, files=dict(sorted(self._files.items())))
        check_manifest(manifest, self.path)
        text = encode(manifest)
        self.add_bytes(MANIFEST, text)
        self.add_bytes(MANIFEST_DIGEST, f"{digest_of(text)}\n".encode())
        with files.reported(self.path):
            for folder, _, _ in os.walk(self.folder):
                files.sync_folder(Path(folder))
            staging.install(self.folder, self.path)
        self._committed = True
        return self.path

    def _make_folders(self, path: str) -> None:
        for parent in reversed(Path(path).parents[:-1]):
            folder = self.folder / parent
            if not folder.is_dir():
                with files.reported(folder):
                    files.make_folder(folder)
