"""A trace does not depend on the order of a set, which is another in every process."""

import os
import subprocess
import sys

import torch
from models import tiny_config
from transformers.models.llama import modeling_llama

from tapeout.frontend.model import build_model
from tapeout.frontend.ordered_sets import OrderedSet, ordered_sets

GEMMA = """
from transformers import Gemma3TextConfig
from tapeout.frontend.trace import trace_config
sizes = dict(hidden_size=32, intermediate_size=32, head_dim=16, vocab_size=99, sliding_window=16)
heads = dict(num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=2)
kinds = ["sliding_attention", "full_attention"]
print(trace_config(Gemma3TextConfig(**sizes, **heads, layer_types=kinds)))
"""


def traced(seed):
    """In a process of its own, whose sets have the order that comes of the seed."""
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    command = [sys.executable, "-c", GEMMA]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def test_two_processes_trace_a_model_with_layers_of_two_kinds_alike():
    orders = [
        subprocess.run(
            [sys.executable, "-c", "print({'sliding_attention', 'full_attention'})"],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(16)
    ]
    other = next(seed for seed, order in enumerate(orders) if order != orders[0])
    first, second = traced(0), traced(other)
    assert b"aten.cos" in first and first == second


def test_sets_are_ordered_in_a_models_files_as_long_as_it_is_traced():
    names = [str(number) for number in range(99)]
    with ordered_sets(build_model(tiny_config("llama"), torch.float32)):
        assert list(modeling_llama.set(names)) == names
    assert not hasattr(modeling_llama, "set")


def test_an_ordered_set_does_what_a_set_does():
    one = OrderedSet("banana")
    one.add("c")
    one.discard("b")
    assert list(one) == ["a", "n", "c"] and "n" in one and len(one) == 3
    assert one == {"a", "n", "c"} and list(one - {"n"}) == ["a", "c"]
