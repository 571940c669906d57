"""Flips bits of an artifact's files, one at a time; each must be refused."""

import random

import pytest

from tapeout.artifact import Artifact
from tapeout.errors import ArtifactError


def all_files(artifact):
    return [path for path in sorted(artifact.rglob("*")) if path.is_file()]


def flip(path, bit):
    """Flips a bit in place; the same again undoes it."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def refuse_every_flip(artifact, num_bits_per_file, num_first_bits=8):
    rng = random.Random(0)
    for path in all_files(artifact):
        num_bits = path.stat().st_size * 8
        bits = rng.sample(range(num_bits), min(num_bits_per_file, num_bits))
        for bit in {
            *bits,
            *range(min(num_bits, num_first_bits)),
            *([num_bits - 1] if num_bits else []),
        }:
            flip(path, bit)
            with pytest.raises(
                ArtifactError, match="manifest" if "manifest" in path.name else path.name
            ):
                Artifact.open(artifact)
            flip(path, bit)
