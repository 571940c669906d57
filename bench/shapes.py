"""The shapes that benchmarks run, as checkpoints with random weights and a word for each token."""

from pathlib import Path
from typing import Any

import torch
from report import BUILD
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM

SHAPES: dict[str, dict[str, Any]] = {
    "135m": {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "intermediate_size": 1536,
        "vocab_size": 49152,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
    "1b": {
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "intermediate_size": 8192,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    },
}


def checkpoint_of(shape: str) -> Path:
    """The folder of a bf16 Llama checkpoint of that shape; made on first use."""
    folder = BUILD / f"{shape}-checkpoint"
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        config = AutoConfig.for_model("llama", **SHAPES[shape])
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        words = {f"w{token_id}": token_id for token_id in range(config.vocab_size)}
        Tokenizer(WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    return folder
