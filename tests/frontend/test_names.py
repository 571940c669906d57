import torch
from models import tiny_config

from tapeout.frontend.model import build_model
from tapeout.frontend.names import weight_programs
from tapeout.ir.printer import print_step


def programs(name, names):
    model = build_model(tiny_config(name), torch.float32)
    return {k: print_step(v) for k, v in weight_programs(model, names).items()}


def test_a_prefix_that_the_file_lacks_is_added():
    assert programs("gpt2", ["wte.weight"])["transformer.wte.weight"] == 'checkpoint("wte.weight")'


def test_experts_stored_one_by_one_are_stacked_in_the_order_of_their_numbers():
    names = [
        f"model.layers.0.mlp.experts.{expert}.{part}_proj.weight"
        for expert in (10, 2)
        for part in ("up", "gate", "down")
    ]
    found = programs("qwen3_moe", names)
    stem = "model.layers.0.mlp.experts"
    assert found[f"{stem}.down_proj"] == (
        f'stack(checkpoint("{stem}.2.down_proj.weight"), '
        f'checkpoint("{stem}.10.down_proj.weight"), 0)'
    )
    gate, up = (
        f'stack(checkpoint("{stem}.2.{part}_proj.weight"), '
        f'checkpoint("{stem}.10.{part}_proj.weight"), 0)'
        for part in ("gate", "up")
    )
    assert found[f"{stem}.gate_up_proj"] == f"concat({gate}, {up}, 1)"


def test_tensors_that_the_model_does_not_have_are_left_out():
    assert programs("llama", ["model.rotary_emb.inv_freq", "unrelated"]) == {}
