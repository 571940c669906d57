"""The tokenizer: byte-level BPE in which digits, spaces and line ends stand alone.

A word is the same token wherever it stands, a number is its digits, and any text round-trips
because every byte is in the vocabulary.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .chat_format import CHAT_TEMPLATE, MARKERS, PAD, TURN_END, TURN_START
from .conversations import Conversation

VOCAB_SIZE = 2048
_PIECES = r"\p{L}+|\p{N}|\n| |[^\S\n ]+|[^\s\p{L}\p{N}]+"


def train_tokenizer(seed: int, num_conversations: int = 20_000) -> Tokenizer:
    """Learn the merges from generated conversations."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(MARKERS),
        special_tokens=[PAD, TURN_START, TURN_END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed, num_conversations), trainer)
    # A tool parser reads the markers, so they are tokens of their own but not special ones:
    # decoding keeps them.
    tokenizer.add_tokens([AddedToken(marker, normalized=False) for marker in MARKERS])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` with the chat template."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": TURN_END,
        "pad_token": PAD,
        "additional_special_tokens": [TURN_START],
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "chat_template": CHAT_TEMPLATE,
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def _texts(seed: int, count: int) -> Iterator[str]:
    """The text between markers of generated conversations."""
    rng = random.Random(f"tokenizer/{seed}")
    for _ in range(count):
        for piece, _ in Conversation(rng).next_turn():
            for marker in (TURN_START, TURN_END, *MARKERS):
                piece = piece.replace(marker, "\n")
            yield piece
