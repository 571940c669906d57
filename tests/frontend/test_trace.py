"""Traced and raised models against transformers, and what is refused."""

import logging

import pytest
import torch
from models import CONFIGS, load_reference, save_tiny, tiny_config
from traced import largest_error, lowered, model_level
from transformers import AutoConfig

from tapeout.errors import CheckpointError, UnsupportedModelError
from tapeout.frontend.checkpoint import Checkpoint
from tapeout.frontend.trace import model_config, trace, trace_config
from tapeout.frontend.weights import stream_weights
from tapeout.ir.types import DType

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 99,
    "max_position_embeddings": 128,
}
WINDOWED = ["full_attention", "sliding_attention", "full_attention"]
VARIANTS = [
    ("llama", {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu_pytorch_tanh"}),
    ("llama", {"head_dim": 8, "num_attention_heads": 1, "num_key_value_heads": 1}),
    ("mistral", {"sliding_window": None, "num_hidden_layers": 1}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}),
    ("gemma2", {"attn_logit_softcapping": None, "final_logit_softcapping": None}),
    ("gpt2", {"activation_function": "gelu_fast", "scale_attn_by_inverse_layer_idx": True}),
    ("gpt2", {"activation_function": "gelu_python", "tie_word_embeddings": False}),
    ("gpt2", {"activation_function": "quick_gelu", "n_inner": 100}),
    ("gpt2", {"activation_function": "relu", "scale_attn_weights": False}),
    ("qwen3_moe", {"norm_topk_prob": False, "decoder_sparse_step": 2}),
    ("qwen3_moe", {"mlp_only_layers": [0]}),
    ("gpt_oss", {"num_hidden_layers": 3, "layer_types": WINDOWED, "swiglu_limit": 3.0}),
]


def ops_of(module):
    return {node.op for function in module.functions.values() for node in function.nodes}


@pytest.mark.parametrize("name", CONFIGS)
def test_packed_sequences_give_the_logits_of_transformers(name, tmp_path):
    assert largest_error(name, tmp_path) < 5e-6


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_options_of_an_architecture_are_followed(name, changes, tmp_path):
    assert largest_error(name, tmp_path, **changes) < 5e-6


@pytest.mark.parametrize("name", CONFIGS)
def test_norms_and_rotations_are_raised_and_layouts_cancel(name):
    config = tiny_config(name)
    module = lowered(config, DType.BF16)
    left = {"rsqrt", "neg", "transpose", "concat", "reduce_mean"}
    assert ops_of(module) & left == set()
    rotary = {"rope"} if hasattr(config, "rope_parameters") else set()
    assert ops_of(module) >= {"attention"} | rotary


@pytest.mark.parametrize(
    ("name", "changes", "calls"),
    [
        ("llama", {"num_hidden_layers": 5}, [(("layer0",), 5)]),
        ("gemma2", {}, [(("layer0", "layer1"), 2)]),
        (
            "gemma2",
            {
                "num_hidden_layers": 5,
                "layer_types": ["sliding_attention", "full_attention"] * 2 + ["sliding_attention"],
            },
            [(("layer0", "layer1"), 2), (("layer0",), 1)],
        ),
        ("qwen3_moe", {"mlp_only_layers": [0]}, [(("layer0",), 1), (("layer1",), 2)]),
        (
            "gpt_oss",
            {"num_hidden_layers": 3, "layer_types": WINDOWED},
            [(("layer0",), 1), (("layer1",), 1), (("layer0",), 1)],
        ),
    ],
    ids=str,
)
def test_equal_layers_are_one_function_called_by_repeats(name, changes, calls):
    module = lowered(tiny_config(name, **changes))
    repeats = [node for node in module.functions["step"].nodes if node.op == "repeat"]
    assert [(node.attrs["pattern"], node.attrs["count"]) for node in repeats] == calls
    assert set(module.functions) == {"step"} | {name for pattern, _ in calls for name in pattern}


def test_a_tied_head_is_the_embedding_itself():
    step = lowered(tiny_config("qwen2")).functions["step"]
    tables = [n.attrs["name"] for n in step.nodes if n.op == "weight" and 777 in n.attrs["shape"]]
    (head,) = [node for node in step.nodes if node.op == "linear"]
    assert len(tables) == 1
    assert step.producers()[head.operands[1]].attrs["name"] == tables[0]


def test_rotary_frequencies_are_those_that_transformers_computes(tmp_path):
    save_tiny("gpt_oss", tmp_path)
    checkpoint = Checkpoint.open(tmp_path)
    (weight,) = [w for n, w in model_level(checkpoint).weights.items() if "inv_freq" in n]
    ((_, found),) = stream_weights([weight], checkpoint)
    wanted = load_reference(tmp_path).model.rotary_emb.inv_freq
    assert torch.equal(found.reshape(-1), wanted)


def test_no_weight_is_read_while_tracing(tmp_path):
    save_tiny("llama", tmp_path)
    source = Checkpoint.open(tmp_path)
    source.read = lambda name: pytest.fail(f"{name} was read")
    model_level(source)


def test_windows_of_mask_and_call_reach_the_op():
    module = lowered(tiny_config("gemma2"))
    attentions = [n for f in module.functions.values() for n in f.nodes if n.op == "attention"]
    assert [node.attrs["window"] for node in attentions] == [32, None]
    assert {node.attrs["softcap"] for node in attentions} == {50.0}


def test_sinks_are_an_operand_of_attention():
    module = lowered(tiny_config("gpt_oss"))
    (node,) = [n for n in module.functions["layer0"].nodes if n.op == "attention"]
    assert node.operands[5].name == "self_attn.sinks"


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("mamba", {}, "recurrent state"),
        ("bert", {}, "causal"),
        ("gptj", {"n_embd": 64, "n_head": 2, "n_layer": 1}, "interface"),
        ("bloom", {"n_head": 2, "n_layer": 1}, "interface"),
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, r"layers\.0\.conv: .*conv1d"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
            "rope type dynamic",
        ),
        ("t5", {}, "CausalLM"),
        ("llama", {"hidden_act": "nonesuch"}, r"llama: LlamaMLP\.__init__: unknown 'nonesuch'"),
        ("llama", {"num_key_value_heads": 0}, r"llama: LlamaAttention\.__init__: .* by zero"),
        ("llama", {"hidden_size": -64}, r"llama: LlamaModel\.__init__: .* negative dimension"),
        (
            "llama",
            {"num_attention_heads": 4, "num_key_value_heads": 3},
            r"layers\.0\.self_attn: 4 heads of queries cannot share 3 of keys and values",
        ),
        ("llama", {"num_hidden_layers": 0}, r"no layer with attention \(num_hidden_layers=0\)"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(kind, fields, reason):
    config = AutoConfig.for_model(kind, **(SIZES if kind != "t5" else {}) | fields)
    with pytest.raises(UnsupportedModelError, match=reason):
        lowered(config)


def test_what_torch_refuses_is_told_once_with_no_log_of_its_own(caplog, monkeypatch):
    log = logging.getLogger("torch._subclasses.fake_tensor")
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    config = AutoConfig.for_model("qwen3_moe", **SIZES, num_experts=4, num_experts_per_tok=5)
    with pytest.raises(UnsupportedModelError, match=r"TopKRouter\.forward cannot be traced: k not"):
        lowered(config)
    assert not caplog.records and not log.disabled


def test_an_unknown_model_type_is_refused():
    with pytest.raises(UnsupportedModelError, match="model_type 'nonesuch'"):
        model_config({"model_type": "nonesuch"})


def test_a_checkpoint_that_lacks_a_weight_is_refused():
    config = tiny_config("llama")
    names = trace_config(config).weights
    with pytest.raises(CheckpointError, match="lm_head.weight"):
        trace_config(config, DType.F32, set(names) - {"lm_head.weight"})


@pytest.mark.parametrize(
    ("field", "value", "name", "found"),
    [
        ("vocab_size", 600, "model.embed_tokens.weight", [515, 160]),
        ("intermediate_size", 300, "model.layers.0.mlp.gate_proj.weight", [272, 160]),
    ],
)
def test_a_weight_of_another_shape_than_the_configuration_says_is_refused_as_it_is_stored(
    field, value, name, found, tmp_path
):
    save_tiny("llama", tmp_path)
    source = Checkpoint.open(tmp_path)
    source.config[field] = value
    with pytest.raises(CheckpointError) as refused:
        trace(source)
    assert refused.value.file == name and refused.value.found == found
    assert "as config.json says; give the config.json that" in str(refused.value)


def test_tensors_that_the_model_does_not_read_are_told_once(caplog, tmp_path):
    save_tiny("llama", tmp_path)
    source = Checkpoint.open(tmp_path)
    trace(source)
    assert not caplog.records
    source.config["num_hidden_layers"] = 1
    trace(source)
    [record] = caplog.records
    said = record.getMessage()
    assert "tensors 9 are not read, the first is model.layers.1.input_layernorm.weight" in said
    assert "check num_hidden_layers" in said


def test_a_head_that_is_stored_beside_the_embedding_is_not_tied():
    config = tiny_config("qwen2", tie_word_embeddings=True)
    names = set(trace_config(tiny_config("qwen2", tie_word_embeddings=False)).weights)
    stored = {name.replace("layers.0.", f"layers.{i}.") for name in names for i in (0, 1)}
    weights = trace_config(config, DType.F32, stored).weights
    sources = {
        weights[n].program.sources() for n in ("lm_head.weight", "model.embed_tokens.weight")
    }
    assert sources == {("lm_head.weight",), ("model.embed_tokens.weight",)}


def test_a_quantized_checkpoint_is_refused():
    with pytest.raises(UnsupportedModelError, match="mxfp4"):
        model_config({"model_type": "llama", "quantization_config": {"quant_method": "mxfp4"}})
