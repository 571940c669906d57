"""The page of supported architectures, from the configurations that the tests compile."""

from models import CONFIGS, tiny_config
from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

_HEAD = """\
# Supported architectures

Each row is a configuration that `tests/e2e/` compiles and compares with transformers: logits in
fp32 within 1e-5 relative for every row, in bf16 within 1.5 times transformers' own distance. The
models are small, their layers are whole. Made by `tests/support_table.py`.

| architecture | tested as | positions | window | head dim | heads, KV heads | experts | tied head |
|---|---|---|---|---|---|---|---|
"""
_TAIL = """
No code of the compiler names a model. `tests/frontend/test_other_architectures.py` lowers some
thirty more to regions and compares these, in the interpreter, with transformers; their kernels are
not part of a test. What cannot be compiled is refused, naming the module and the reason: recurrent
mixers, rope that changes with a request's length (dynamic, longrope).
"""


def render_table() -> str:
    """The Markdown page."""
    rows = [f"| {' | '.join(_row(name, tiny_config(name)))} |" for name in CONFIGS]
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


def _row(name: str, config: PretrainedConfig) -> list[str]:
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", heads)
    head_dim = getattr(config, "head_dim", config.hidden_size // heads)
    num_experts = getattr(config, "num_local_experts", getattr(config, "num_experts", None))
    chosen = f"{num_experts}, {config.num_experts_per_tok} a token" if num_experts else "-"
    architecture = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type]
    tied = "yes" if config.tie_word_embeddings else "no"
    return [architecture, f"`{name}`", _positions(config), _window(config), str(head_dim)] + [
        f"{heads}, {kv_heads}",
        chosen,
        tied,
    ]


def _positions(config: PretrainedConfig) -> str:
    rope = getattr(config, "rope_parameters", None)
    return f"rope, {rope['rope_type']}" if rope else "learned"


def _window(config: PretrainedConfig) -> str:
    layer_types = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if not window or layer_types == {"full_attention"}:
        return "-"
    return f"{window}, every other layer" if "full_attention" in layer_types else str(window)


if __name__ == "__main__":
    print(render_table(), end="")
