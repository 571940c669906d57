"""Small checkpoint folders and safetensors files, good ones and others, for the tests."""

import json
from pathlib import Path

import numpy as np

CONFIG = {"model_type": "llama", "vocab_size": 5}
TENSORS = {
    "model.norm.weight": np.arange(8, dtype=np.float32),
    "model.q.weight": np.arange(24, dtype=np.int64).reshape(4, 6),
    "model.scale": np.float16(3),
    "model.none": np.zeros((0, 4), np.uint8),
}
DTYPES = {"float32": "F32", "int64": "I64", "float16": "F16", "uint8": "U8"}


def entries_and_data(tensors=TENSORS):
    """The header's object, in order of offsets, and the data."""
    entries, data = {}, b""
    for name, array in tensors.items():
        raw = np.asarray(array).tobytes()
        entries[name] = {
            "dtype": DTYPES[np.asarray(array).dtype.name],
            "shape": list(np.shape(array)),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return entries, data


def safetensors_bytes(header, data, length=None):
    """A file of a header, an object or bytes, and data; `length` may lie."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    if not isinstance(header, bytes):
        text += b" " * (-len(text) % 8)
    length = len(text) if length is None else length
    return length.to_bytes(8, "little") + text + data


def write_checkpoint(folder: Path, tensors=TENSORS, config=CONFIG) -> Path:
    """A folder with one weight file."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors_bytes(*entries_and_data(tensors)))
    return folder


def write_sharded_checkpoint(folder: Path) -> Path:
    """A folder with an index and a weight file for each tensor."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    weight_map = {}
    for number, (name, array) in enumerate(TENSORS.items(), 1):
        weight_map[name] = f"model-{number:05}-of-{len(TENSORS):05}.safetensors"
        content = safetensors_bytes(*entries_and_data({name: array}))
        (folder / weight_map[name]).write_bytes(content)
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    """The folder's index."""
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def read_index(folder: Path) -> dict[str, str]:
    """The folder's map of tensors to files."""
    return json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
