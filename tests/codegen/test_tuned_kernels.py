"""Tables of configurations that kernels are compiled in."""

import json
from functools import cache

import pytest
from models import tiny_config

from tapeout import compile_model
from tapeout.artifact import Artifact
from tapeout.artifact.choices import read_choices
from tapeout.artifact.tuning_table import Device, DeviceEntries, Entry, Table, write_table
from tapeout.codegen.triton.choice_records import choices_of
from tapeout.codegen.triton.program import compile_gpu_program
from tapeout.codegen.tuned_kernels import SHIPPED, Tuned, open_table, tuned_for
from tapeout.errors import BuildError, InputError
from tapeout.frontend.trace import trace_config
from tapeout.ir.types import DType
from tapeout.ir.verify import verify
from tapeout.passes.pipeline import stages_of
from tapeout.passes.run import run_stages

TARGET = "cuda:sm_90"
H100 = Device(name="NVIDIA H100 80GB HBM3", arch="sm_90", num_units=132)
H200 = Device(name="NVIDIA H200", arch="sm_90", num_units=132)


@cache
def module():
    traced = verify(trace_config(tiny_config("llama"), DType.BF16))
    return run_stages(traced, stages_of(TARGET))[0]


def chosen(tuned=None):
    """The kernels of a tiny model, and what was chosen for them."""
    asked = {key: found.configuration for key, found in (tuned or {}).items()}
    program = compile_gpu_program(module(), TARGET, tuned=asked)
    return program.kernels, choices_of(program, tuned or {})


def product():
    """The choice of some product of 16 rows."""
    choices = chosen()[1]
    return next(c for c in choices if c.key.steps == "16 rows" and "splits" in c.configuration)


def entry_of(choice, **changes):
    configuration = choice.configuration | changes
    times = {"time_s": 1.0, "before_s": 2.0, "least_s": None}
    return Entry(key=choice.key, configuration=configuration, **times)


def table_of(*pairs):
    return Table(
        devices=[
            DeviceEntries(device=device, memory_bytes_per_s=None, entries=[entry])
            for device, entry in pairs
        ]
    )


def test_of_every_kernel_it_is_said_what_was_chosen_and_by_what():
    kernels, choices = chosen()
    assert {name for choice in choices for name in choice.kernels} == set(kernels)
    for choice in choices:
        assert choice.origin == "the only one" or choice.origin.startswith("rule: ")
        assert bool(choice.configuration) == (choice.origin != "the only one")
        assert all(candidate.reason for candidate in choice.candidates)


def test_kernels_that_a_table_knows_are_configured_as_it_says():
    known = product()
    asked = known.configuration | {"num_warps": 2}
    kernels, choices = chosen({known.key: Tuned(asked, H200.name)})
    changed = [choice for choice in choices if choice.key == known.key]
    assert {choice.origin for choice in changed} == {"table NVIDIA H200"}
    for choice in changed:
        assert choice.configuration == asked
        [name] = choice.kernels
        assert kernels[name][0].num_warps == 2
        assert any("the rule takes it" in candidate.reason for candidate in choice.candidates)
    assert all("table" not in choice.origin for choice in choices if choice.key != known.key)


def test_an_entry_that_no_kernel_can_have_ends_the_build():
    known = product()
    asked = known.configuration | {"depth": 100}
    with pytest.raises(BuildError, match="powers of two.*take it out of the table"):
        chosen({known.key: Tuned(asked, H200.name)})


def test_of_several_devices_the_first_has_its_way_and_other_architectures_have_none():
    known = product()
    first, second = entry_of(known, num_warps=2), entry_of(known, num_warps=8)
    other = Device(name="NVIDIA A100", arch="sm_80", num_units=108)
    table = table_of((other, second), (H100, first), (H200, second))
    found = tuned_for(table, "sm_90")
    assert found[known.key] == Tuned(known.configuration | {"num_warps": 2}, H100.name, 1.0)
    assert tuned_for(table, "sm_120") == {}


def test_a_table_that_is_not_there_is_refused_and_those_that_ship_are_read():
    with pytest.raises(InputError, match="tuning='none' is no file.*those are h200: give one"):
        open_table("none", ["sm_90"])
    assert all(open_table(name, ["sm_90"]).devices for name in SHIPPED)


def test_a_table_for_other_devices_alone_is_refused(tmp_path):
    write_table(table_of((H100, entry_of(product(), num_warps=2))), tmp_path / "table.json")
    assert open_table(tmp_path / "table.json", ["sm_80", "sm_90"]).devices
    with pytest.raises(InputError, match="has kernels for sm_90, not for x86-64-v3; tune on such"):
        open_table(tmp_path / "table.json", ["x86-64-v3"])


@pytest.mark.slow
def test_an_artifact_is_compiled_as_a_table_says_and_says_so(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("llama").to_dict()))
    known = product()
    write_table(table_of((H200, entry_of(known, num_warps=2))), tmp_path / "table.json")
    options = {"load_format": "dummy", "dtype": "bfloat16", "tuning": tmp_path / "table.json"}
    artifact = Artifact.open(compile_model(tmp_path, tmp_path / "out", TARGET, **options))
    choices = read_choices(artifact, TARGET)
    tuned = [choice for choice in choices if choice.origin == "table NVIDIA H200"]
    kernels = {kernel.name: kernel for kernel in artifact.manifest.targets[TARGET].kernels}
    assert {name for choice in choices for name in choice.kernels} == set(kernels)
    assert tuned and all(kernels[name].cubin.num_warps == 2 for c in tuned for name in c.kernels)
