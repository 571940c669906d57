"""Architectures that nobody wrote anything for: they compile as they are, or are refused."""

import models
import pytest
from traced import largest_error, lowered
from transformers import AutoConfig

from tapeout.errors import UnsupportedModelError
from tapeout.ir.types import DType
from tapeout.passes.pipeline import GPU_STAGES, STAGES
from tapeout.passes.run import run_stages

pytestmark = pytest.mark.slow

SIZES = {
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "vocab_size": 131,
    "max_position_embeddings": 256,
}
MIXTURE = {
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "shared_expert_intermediate_size": 40,
}
COMPILED = {
    "apertus": {},
    "arcee": {},
    "bitnet": {},
    "cohere": {},
    "cohere2": {"num_hidden_layers": 4, "sliding_window": 16},
    "ernie4_5": {},
    "exaone4": {"num_hidden_layers": 4, "sliding_window": 16},
    "gemma": {},
    "gemma3_text": {"num_hidden_layers": 6, "sliding_window": 16},
    "glm": {},
    "glm4": {},
    "gpt_bigcode": {"n_embd": 96, "n_head": 4, "n_layer": 2, "n_positions": 256},
    "gpt_neox": {},
    "granite": {"logits_scaling": 3.0, "residual_multiplier": 0.5},
    "granitemoe": MIXTURE | {"num_local_experts": 4},
    "helium": {},
    "hunyuan_v1_dense": {},
    "ministral": {"sliding_window": 16},
    "mixtral": MIXTURE | {"num_local_experts": 4},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": {"num_hidden_layers": 4, "sliding_window": 16},
    "olmoe": MIXTURE | {"num_experts": 4},
    "opt": {"ffn_dim": 136, "word_embed_proj_dim": 96},
    "persimmon": {},
    "phi": {},
    "phi3": {},
    "qwen2_moe": MIXTURE | {"num_experts": 4},
    "seed_oss": {},
    "smollm3": {"num_hidden_layers": 4},
    "stablelm": {},
    "stablelm, norms of each head": {"qk_layernorm": True},
    "starcoder2": {"sliding_window": 16},
    "vaultgemma": {"num_hidden_layers": 4, "sliding_window": 16},
}
LATENT = {"q_lora_rank": 32, "kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16}
GROUPS = {"n_routed_experts": 8, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}
FIELDS = {
    "deepseek_v2": MIXTURE | GROUPS | LATENT | {"v_head_dim": 24, "head_dim": None},
    "deepseek_v3": MIXTURE | GROUPS | LATENT | {"v_head_dim": 24, "head_dim": None},
    "dots1": MIXTURE | GROUPS | {"n_shared_experts": 1},
    "ernie4_5_moe": MIXTURE | {"moe_num_experts": 8, "moe_k": 2},
    "glm4_moe": MIXTURE | GROUPS,
    "minimax_m2": MIXTURE | {"num_local_experts": 8},
    "phimoe": MIXTURE | {"num_local_experts": 8},
}
"""Of those that are refused, what they have besides sizes."""
REFUSED = {
    "bloom": "interface",
    "deepseek_v2": r"^model\.rotary_emb: %polar = aten.polar.* torch.complex64",
    "deepseek_v3": r"^model\.layers\.0\.self_attn: %new_empty: .* = aten.new_empty",
    "dots1": r"^model\.layers\.1\.mlp\.gate: %\w+: f32\[T, 2\] = aten.scatter.*: of routers",
    "ernie4_5_moe": r"^model\.layers\.1\.mlp\.gate: %\w+: f32\[T, 2\] = aten.gather.*: of routers",
    "falcon": "interface",
    "glm4_moe": r"^model\.layers\.1\.mlp\.gate: %\w+: f32\[T, 2\] = aten.scatter.*: of routers",
    "gptj": "interface",
    "llama4_text": "cannot",
    "mamba": "recurrent state",
    "minimax_m2": r"^model\.layers\.0\.mlp\.gate: %\w+: f32\[T, 2\] = aten.gather.*: of routers",
    "mpt": "cannot",
    "phimoe": r"^model\.rotary_emb: %\w+: f32\[12\] = aten.arange",
    "qwen3_next": "recurrent state",
    "rwkv": "recurrent state",
    "xlstm": "recurrent state",
}


@pytest.mark.parametrize("kind", COMPILED)
def test_compiles_and_equals_transformers(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(models.CONFIGS, kind, (kind.split(",")[0], SIZES | COMPILED[kind]))
    assert largest_error(kind, tmp_path) < 1e-5
    reached, _ = run_stages(lowered(models.tiny_config(kind)), STAGES[2:])
    assert reached.level == "region"


def test_norms_that_each_head_has_of_its_own_are_made_with_the_queries(monkeypatch):
    fields = SIZES | COMPILED["stablelm, norms of each head"]
    monkeypatch.setitem(models.CONFIGS, "stablelm", ("stablelm", fields))
    module, _ = run_stages(lowered(models.tiny_config("stablelm")), GPU_STAGES[2:])
    regions = [node.attrs["function"] for node in module.functions["layer0"].nodes]
    assert "layer_norm_mul_rope_kv_write_paged_attention" in regions and len(regions) == 7


def test_a_number_added_to_a_norms_weight_is_added_at_build_time(monkeypatch):
    monkeypatch.setitem(models.CONFIGS, "nemotron", ("nemotron", SIZES))
    module, _ = run_stages(lowered(models.tiny_config("nemotron"), DType.BF16), GPU_STAGES[2:])
    regions = [node.attrs["function"] for node in module.functions["layer0"].nodes]
    assert "add" not in regions and len(regions) == 7


@pytest.mark.parametrize("kind", REFUSED)
def test_is_refused_with_the_reason_and_what_helps(kind):
    fields = {} if kind == "falcon" else SIZES | FIELDS.get(kind, {})
    fields = {name: value for name, value in fields.items() if value is not None}
    with pytest.raises(UnsupportedModelError, match=REFUSED[kind] + ".*; .*use a model of another"):
        lowered(AutoConfig.for_model(kind, **fields))
