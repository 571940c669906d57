"""Small models of every supported architecture, with random weights, saved as checkpoints.

Sizes are odd on purpose: vocabularies that are no multiple of 16, head dims of 24, 40 and 64,
tied and untied heads, windows shorter than the prompts.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

LOGITS_STD = 1.5
"""The standard deviation that the weights are scaled for: differences then show."""

_LLAMA: dict[str, Any] = {
    "hidden_size": 160,
    "intermediate_size": 272,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 40,
    "vocab_size": 515,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
}
_WINDOWED = ["sliding_attention", "full_attention"]

# name -> (model_type, fields of its config)
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _LLAMA),
    "llama_llama3_rope": (
        "llama",
        _LLAMA
        | {
            "head_dim": 64,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 128,
            },
        },
    ),
    "llama_linear_rope": (
        "llama",
        _LLAMA
        | {
            "num_hidden_layers": 3,
            "num_key_value_heads": 4,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
        },
    ),
    "mistral": ("mistral", _LLAMA | {"sliding_window": 32, "vocab_size": 331}),
    "qwen2": ("qwen2", _LLAMA | {"tie_word_embeddings": True, "vocab_size": 777}),
    "qwen3": ("qwen3", _LLAMA | {"head_dim": 64, "hidden_size": 96, "num_hidden_layers": 3}),
    "gemma2": (
        "gemma2",
        _LLAMA
        | {
            "num_hidden_layers": 4,
            "head_dim": 24,
            "sliding_window": 32,
            "query_pre_attn_scalar": 40,
            "layer_types": _WINDOWED * 2,
            "tie_word_embeddings": True,
        },
    ),
    "gpt2": (
        "gpt2",
        {"n_embd": 120, "n_head": 3, "n_layer": 2, "vocab_size": 701, "n_positions": 640},
    ),
    "qwen3_moe": (
        "qwen3_moe",
        _LLAMA
        | {
            "moe_intermediate_size": 72,
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "norm_topk_prob": True,
            "num_hidden_layers": 3,
        },
    ),
    "gpt_oss": (
        "gpt_oss",
        _LLAMA
        | {
            "head_dim": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 4,
            "num_local_experts": 6,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 150000.0,
                "factor": 32.0,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
                "original_max_position_embeddings": 32,
            },
            "num_experts_per_tok": 2,
            "sliding_window": 32,
            "layer_types": _WINDOWED * 2,
        },
    ),
}


def tiny_config(name: str, **changes: Any) -> PretrainedConfig:
    """The config of a tiny model, with some fields changed."""
    model_type, fields = CONFIGS[name]
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return AutoConfig.for_model(model_type, **(fields | special | changes))


def tiny_model(config: PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    """A model in fp32 with seeded weights whose logits vary by about `LOGITS_STD`."""
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_random_weight(name, parameter, generator))
        _scale_logits(model, generator)
    return model


def _random_weight(name: str, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(like.shape, generator=generator)
    if name.endswith("norm.weight") or ".ln_" in name and name.endswith("weight"):
        return like + 0.1 * noise  # around what the architecture calls neutral: 1, or 0 for 1 + w
    if like.ndim == 1 or "bias" in name:
        return 0.1 * noise
    return noise / like.shape[-1] ** 0.5


def _scale_logits(model: PreTrainedModel, generator: torch.Generator) -> None:
    head = model.get_output_embeddings().weight
    token_ids = torch.randint(3, model.config.vocab_size, (1, 64), generator=generator)
    for _ in range(3):
        head *= LOGITS_STD / model(token_ids).logits.std()


def save_tiny(name: str, folder: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """Saves the tiny model as a Hugging Face checkpoint; gives the folder."""
    tiny_model(tiny_config(name, **changes)).to(dtype).save_pretrained(folder)
    return folder


def reference_logits(
    checkpoint: Path, prompts: list[list[int]], dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    """transformers' own logits f32[len(prompt), V] of each prompt, one prompt at a time."""
    model = load_reference(checkpoint, dtype)
    with torch.no_grad():
        return [model(torch.tensor([prompt])).logits[0].float() for prompt in prompts]


def load_reference(checkpoint: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """transformers' own model, eager attention and one expert after another."""
    return AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=dtype, attn_implementation="eager", experts_implementation="eager"
    ).eval()


def random_prompts(vocab_size: int, lengths: list[int], seed: int = 0) -> list[list[int]]:
    """Seeded token ids without the special ones."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randint(3, vocab_size, (length,), generator=generator).tolist() for length in lengths
    ]
