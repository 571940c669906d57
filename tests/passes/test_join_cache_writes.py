"""Which launches that write a cache are joined with the attention that reads it."""

import pytest
from models import tiny_config
from traced import lowered

from tapeout.ir.types import DType
from tapeout.passes.pipeline import GPU_STAGES
from tapeout.passes.run import run_stages


@pytest.mark.parametrize(
    ("name", "changes"),
    [("gpt2", {}), ("llama", {"head_dim": 8}), ("llama", {"head_dim": 40})],
    ids=["queries that are cut out", "heads of eight", "queries that are rotated"],
)
def test_no_launch_does_nothing_but_write_keys(name, changes):
    config = tiny_config(name, num_hidden_layers=1, **changes)
    module, _ = run_stages(lowered(config, DType.BF16), GPU_STAGES[2:])
    writing = [f for f in module.functions.values() if any(n.op == "kv_write" for n in f.nodes)]
    assert {function.attrs["anchor"] for function in writing} == {"attention"}
