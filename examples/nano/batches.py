"""Training batches: rows of a few fixed lengths, each filled by one conversation."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.utils.data import DataLoader, Dataset

from .conversations import Conversation

PAD_ID = 0


@dataclass(frozen=True)
class Bucket:
    """Rows of one length in a step; `more` is how likely a conversation goes on after a turn."""

    length: int
    rows: int
    more: float
    tool_share: float


BUCKETS = (
    Bucket(length=128, rows=640, more=0.8, tool_share=0.0),
    Bucket(length=640, rows=48, more=0.9, tool_share=0.8),
    Bucket(length=2048, rows=4, more=1.0, tool_share=0.5),
)


@dataclass(frozen=True)
class Batch:
    """Rows of one bucket.

    token_ids: i32[rows, length], padded on the right, where causal attention never looks.
    positions: i64[n], flat indices of the tokens whose successor is the model's to write.
    targets: i64[n], those successors.
    """

    token_ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """The batch with each tensor replaced."""
        return Batch(*map(function, (self.token_ids, self.positions, self.targets)))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; the loader asks for this by name."""
        return self.map(torch.Tensor.pin_memory)

    def to(self, device: str) -> Batch:
        """The batch on a device; from page-locked memory the copy is not waited for."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


class Steps(Dataset[list[Batch]]):
    """The batches of each training step: a pure function of seed, step and novelty."""

    def __init__(
        self,
        tokenizer_json: Path,
        seed: int,
        num_steps: int,
        novelty: float = 0.0,
        shrink: int = 1,
    ) -> None:
        self._novelty = novelty
        self._tokenizer = Tokenizer.from_file(str(tokenizer_json))
        self._seed = seed
        self._num_steps = num_steps
        self._shrink = shrink

    def __len__(self) -> int:
        return self._num_steps

    def __getitem__(self, step: int) -> list[Batch]:
        rng = random.Random(f"train/{self._seed}/{step}")
        return [self._draw_batch(bucket, rng) for bucket in BUCKETS]

    def _draw_batch(self, bucket: Bucket, rng: random.Random) -> Batch:
        num_rows = max(1, bucket.rows // self._shrink)
        token_ids = np.full((num_rows, bucket.length), PAD_ID, dtype=np.int32)
        replies = np.zeros((num_rows, bucket.length), dtype=bool)
        for row in range(num_rows):
            tokens = self._draw_row(bucket, rng)
            token_ids[row, : len(tokens)] = [token for token, _ in tokens]
            replies[row, : len(tokens)] = [is_reply for _, is_reply in tokens]
        positions = np.flatnonzero(replies) - 1
        targets = token_ids.reshape(-1)[positions + 1].astype(np.int64)
        return Batch(*(torch.from_numpy(array) for array in (token_ids, positions, targets)))

    def _draw_row(self, bucket: Bucket, rng: random.Random) -> list[tuple[int, bool]]:
        """Tokens, each with whether the model is to write it; one turn or more."""
        row: list[tuple[int, bool]] = []
        while not row:
            conversation = Conversation(rng, bucket.tool_share, self._novelty)
            turn = self._encode_turn(conversation)
            while len(row) + len(turn) <= bucket.length:
                row += turn
                if rng.random() >= bucket.more:
                    break
                turn = self._encode_turn(conversation)
        return row

    def _encode_turn(self, conversation: Conversation) -> list[tuple[int, bool]]:
        return [
            (token, is_reply)
            for text, is_reply in conversation.next_turn()
            for token in self._tokenizer.encode(text).ids
        ]


def load_steps(steps: Steps, num_workers: int) -> DataLoader[Any]:
    """The steps in order, made ahead of time by worker processes."""
    return DataLoader(
        steps,
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=8 if num_workers else None,
        pin_memory=torch.cuda.is_available(),
    )
