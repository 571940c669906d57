"""A Hugging Face checkpoint folder, read strictly: safetensors and JSON, never code or pickle.

Headers, sizes and the index are checked when the folder is opened. Tensors are views of mapped
files; nothing is copied.
"""

import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from ..errors import CheckpointError, UnsupportedModelError
from .safetensors_header import TensorInfo, read_header
from .strict_json import read_json_object

SINGLE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_MAX_INDEX_BYTES = 256 << 20
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
_CONVERT = (
    "save it as safetensors: AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder)"
)


class TensorSource(Protocol):
    """Where a model's configuration and tensors come from."""

    config: dict[str, Any]

    @property
    def shapes(self) -> Mapping[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Element type and shape of each tensor, by name."""

    def read(self, name: str) -> torch.Tensor:
        """The tensor; not to be written to."""

    def release(self, name: str) -> None:
        """Gives back the memory of a tensor that was read; it may be read again."""


class Checkpoint:
    """An opened checkpoint. `tensors` and `config` are checked; `read` maps a tensor's bytes."""

    def __init__(self, path: Path, config: dict[str, Any], tensors: dict[str, TensorInfo]) -> None:
        self.path = path
        self.config = config
        self.tensors = tensors
        self._maps: dict[Path, mmap.mmap] = {}

    @classmethod
    def open(cls, path: str | Path) -> "Checkpoint":
        """Checks the folder's configuration, index and headers.

        Raises CheckpointError that names the file, the field, what was found and what was wanted;
        UnsupportedModelError for a model that is code in its folder.
        """
        path = Path(path)
        if not path.is_dir():
            raise CheckpointError(path, "folder", "none", "a Hugging Face checkpoint folder")
        return cls(path, read_config(path), _read_headers(path))

    @property
    def shapes(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Element type and shape of each tensor, by name."""
        return {name: (info.dtype, info.shape) for name, info in self.tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        """The tensor as stored, a view of the mapped file. Raises CheckpointError."""
        info = self._info(name)
        if not info.bytes:
            return torch.empty(info.shape, dtype=info.dtype)
        raw = torch.frombuffer(
            self._map(info.file), dtype=torch.uint8, count=info.bytes, offset=info.offset
        )
        if info.offset % info.dtype.itemsize:
            raw = raw.clone()  # a header of odd length: this one tensor is copied
        return raw.view(info.dtype).view(info.shape)

    def release(self, name: str) -> None:
        """Gives back the pages of a tensor; views of it stay valid and read from the file again."""
        info = self._info(name)
        if info.bytes:
            start = info.offset - info.offset % mmap.PAGESIZE
            length = info.offset + info.bytes - start
            self._map(info.file).madvise(mmap.MADV_DONTNEED, start, length)

    def _info(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            raise CheckpointError(self.path, name, "no such tensor", "a tensor of that name")
        return self.tensors[name]

    def _map(self, file: Path) -> mmap.mmap:
        if file not in self._maps:
            self._maps[file] = _private_map(file)
        return self._maps[file]


def read_config(path: Path) -> dict[str, Any]:
    """The folder's `config.json`. Raises CheckpointError, UnsupportedModelError."""
    file = path / "config.json"
    config = read_json_object(file)
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise CheckpointError(file, "model_type", kind, "the name of an architecture")
    if "auto_map" in config and not _is_native(kind):
        raise UnsupportedModelError(
            f"{file}: model_type {kind!r} is code in the checkpoint (auto_map), which is never run",
            "use a checkpoint of an architecture that transformers has itself",
        )
    return config


def _is_native(kind: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return kind in CONFIG_MAPPING_NAMES


def _read_headers(path: Path) -> dict[str, TensorInfo]:
    if (path / SINGLE_FILE).exists():
        return read_header(path / SINGLE_FILE)
    if (path / INDEX).exists():
        return _read_shards(path)
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    found = pickles[0] if pickles else "no weights"
    raise CheckpointError(path, "weights", found, f"{SINGLE_FILE} or {INDEX}", _CONVERT)


def _read_shards(path: Path) -> dict[str, TensorInfo]:
    weight_map = _read_index(path / INDEX)
    tensors: dict[str, TensorInfo] = {}
    for shard in sorted(set(weight_map.values())):
        for name, info in read_header(path / shard).items():
            if weight_map.get(name) != shard:
                wanted = weight_map.get(name, "in no shard")
                raise CheckpointError(path / INDEX, f"weight_map.{name}", f"in {shard}", wanted)
            tensors[name] = info
    for name in weight_map.keys() - tensors.keys():
        shard = weight_map[name]
        raise CheckpointError(path / shard, name, "no such tensor", f"one, as {INDEX} says")
    return tensors


def _read_index(file: Path) -> dict[str, str]:
    weight_map = read_json_object(file, _MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(file, "weight_map", weight_map, "a file name for each tensor")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not _SHARD_NAME.fullmatch(shard):
            wanted = "a .safetensors file of this folder"
            raise CheckpointError(file, f"weight_map.{name}", shard, wanted, _CONVERT)
    return weight_map


def _private_map(file: Path) -> mmap.mmap:
    """A private mapping: torch wants memory it could write to, the file never changes.

    No swap is reserved for it (MAP_NORESERVE), as a shard may be larger than the memory.
    """
    with file.open("rb") as opened:
        return mmap.mmap(
            opened.fileno(),
            0,
            flags=mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000),
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
        )
