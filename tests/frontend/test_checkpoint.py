import json
import resource

import numpy as np
import pytest
import torch
from checkpoint_files import (
    CONFIG,
    TENSORS,
    read_index,
    write_checkpoint,
    write_index,
    write_sharded_checkpoint,
)
from models import tiny_config, tiny_model
from safetensors.torch import save_file

from tapeout.errors import CheckpointError, UnsupportedModelError
from tapeout.frontend.checkpoint import Checkpoint


@pytest.mark.parametrize("write", [write_checkpoint, write_sharded_checkpoint])
def test_every_tensor_comes_back_as_it_was_stored(tmp_path, write):
    checkpoint = Checkpoint.open(write(tmp_path / "c"))
    assert checkpoint.config == CONFIG
    assert set(checkpoint.tensors) == set(TENSORS)
    for name, array in TENSORS.items():
        found = checkpoint.read(name)
        assert found.shape == np.shape(array)
        np.testing.assert_array_equal(found.numpy(), array)


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "bool", "int8", "float64", "int16"]
)
def test_files_of_the_safetensors_library_are_read(tmp_path, dtype):
    wanted = torch.arange(33).reshape(3, 11).to(getattr(torch, dtype))
    write_checkpoint(tmp_path / "c")
    save_file(
        {"x": wanted, "y": wanted[0].clone()}, tmp_path / "c" / "model.safetensors", {"a": "b"}
    )
    checkpoint = Checkpoint.open(tmp_path / "c")
    assert checkpoint.shapes["x"] == (wanted.dtype, (3, 11))
    assert torch.equal(checkpoint.read("x").view(torch.uint8), wanted.view(torch.uint8))


@pytest.mark.parametrize("shard_size", ["200KB", "1GB"])
def test_what_transformers_saves_is_read(tmp_path, shard_size):
    model = tiny_model(tiny_config("llama_llama3_rope"))
    model.save_pretrained(tmp_path / "c", max_shard_size=shard_size)
    checkpoint = Checkpoint.open(tmp_path / "c")
    wanted = model.state_dict()
    assert len(list((tmp_path / "c").glob("*.safetensors"))) > 1 or shard_size == "1GB"
    assert set(checkpoint.tensors) <= set(wanted)  # tied tensors are stored once
    assert len(checkpoint.tensors) >= len(wanted) - 1
    assert all(torch.equal(checkpoint.read(name), wanted[name]) for name in checkpoint.tensors)


def test_files_may_be_links_as_in_the_hubs_cache(tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(tmp_path / f"blob-{name}")
        (folder / name).symlink_to(tmp_path / f"blob-{name}")
    np.testing.assert_array_equal(Checkpoint.open(folder).read("model.scale").numpy(), 3)


def test_a_tensor_off_its_natural_border_is_read(tmp_path):
    tensors = {"bytes": np.arange(3, dtype=np.uint8), "odd": np.arange(5, dtype=np.float32)}
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "c", tensors))
    np.testing.assert_array_equal(checkpoint.read("odd").numpy(), tensors["odd"])


def test_reading_copies_nothing_and_a_release_gives_the_pages_back(tmp_path):
    big = np.ones(16 << 20, np.float32)
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "c", {"big": big}))
    before = resident_bytes()
    view = checkpoint.read("big")
    assert resident_bytes() - before < big.nbytes // 8
    assert view.sum() == big.size
    assert resident_bytes() - before > big.nbytes // 2
    checkpoint.release("big")
    assert resident_bytes() - before < big.nbytes // 8
    assert view[-1] == 1


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_writing_to_a_tensor_never_reaches_the_file(tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    before = (folder / "model.safetensors").read_bytes()
    Checkpoint.open(folder).read("model.norm.weight").zero_()
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_tensor_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
        Checkpoint.open(write_checkpoint(tmp_path / "c")).read("lm_head.weight")


def test_no_folder_and_no_config_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="none: folder"):
        Checkpoint.open(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"config\.json: file: found No such file"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_a_pickle_is_refused_by_name_with_the_remedy(tmp_path, name):
    folder = write_checkpoint(tmp_path / "c")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError, match=rf"found {name}, wanted .*; save it as safetensors"):
        Checkpoint.open(folder)


def test_a_pickle_beside_the_weights_and_code_in_the_folder_are_never_run(tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    canary = tmp_path / "canary"
    (folder / "modeling_llama.py").write_text(f"open({str(canary)!r}, 'w')")
    (folder / "pytorch_model.bin").write_bytes(
        b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    )
    Checkpoint.open(folder).read("model.scale")
    assert not canary.exists()


def test_a_model_that_is_code_in_its_folder_is_refused(tmp_path):
    code = {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}
    folder = write_checkpoint(tmp_path / "c", config=code | {"model_type": "x_of_mine"})
    with pytest.raises(UnsupportedModelError, match=r"'x_of_mine' is code.*never run; use"):
        Checkpoint.open(folder)


def test_a_native_model_with_code_beside_it_is_read_without_the_code(tmp_path):
    code = {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}
    folder = write_checkpoint(tmp_path / "c", config=code | CONFIG)
    assert Checkpoint.open(folder).tensors


CONFIGS = {
    "not JSON": b"{",
    "two objects": b"{} {}",
    "a list": b"[]",
    "not UTF-8": b'{"model_type": "\xff"}',
    "UTF-16": '{"model_type": "llama"}'.encode("utf-16"),
    "a key twice": b'{"model_type": "llama", "a": {"b": 1, "b": 2}}',
    "not a number": b'{"model_type": "llama", "a": NaN}',
    "infinity": b'{"model_type": "llama", "a": -Infinity}',
    "a number that overflows": b'{"model_type": "llama", "a": 1e400}',
    "a number of 10000 digits": b'{"model_type": "llama", "a": ' + b"1" * 10000 + b"}",
    "deep lists": b'{"model_type": "llama", "a": ' + b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "too large": b'{"model_type": "llama"}' + b" " * (16 << 20),
    "no model type": b"{}",
    "a model type that is a number": b'{"model_type": 1}',
    "empty": b"",
}


@pytest.mark.parametrize("content", CONFIGS.values(), ids=CONFIGS)
def test_a_bad_config_is_refused_naming_the_file(tmp_path, content):
    folder = write_checkpoint(tmp_path / "c")
    (folder / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json: .*: found .*, wanted"):
        Checkpoint.open(folder)


def test_a_config_may_hold_brackets_in_its_texts(tmp_path):
    text = {"a": "[" * 1000 + '\\"' + "{" * 1000}
    folder = write_checkpoint(tmp_path / "c", config=CONFIG | text)
    assert Checkpoint.open(folder).config["a"] == text["a"]


BAD_SHARDS = ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", "", 3, None, ".."]


@pytest.mark.parametrize("shard", BAD_SHARDS)
def test_an_index_that_leads_outside_the_folder_is_refused(tmp_path, shard):
    folder = write_sharded_checkpoint(tmp_path / "c")
    write_index(folder, read_index(folder) | {"model.scale": shard})
    with pytest.raises(CheckpointError, match=r"index\.json: weight_map\.model\.scale: found"):
        Checkpoint.open(folder)


@pytest.mark.parametrize("weight_map", [None, [], "x", 1])
def test_an_index_without_a_map_is_refused(tmp_path, weight_map):
    folder = write_sharded_checkpoint(tmp_path / "c")
    write_index(folder, weight_map)
    with pytest.raises(CheckpointError, match=r"index\.json: weight_map: found"):
        Checkpoint.open(folder)


def test_an_index_that_names_a_tensor_its_shard_lacks_is_refused(tmp_path):
    folder = write_sharded_checkpoint(tmp_path / "c")
    index = read_index(folder)
    write_index(folder, index | {"ghost": index["model.scale"]})
    with pytest.raises(CheckpointError, match=r"model-00003-of-00004\.safetensors: ghost: found"):
        Checkpoint.open(folder)


def test_a_tensor_that_is_in_two_shards_or_in_no_index_is_refused(tmp_path):
    folder = write_sharded_checkpoint(tmp_path / "c")
    index = read_index(folder)
    (folder / index["model.scale"]).write_bytes((folder / index["model.q.weight"]).read_bytes())
    with pytest.raises(
        CheckpointError, match=r"weight_map\.model\.q\.weight: found in model-00003"
    ):
        Checkpoint.open(folder)


def test_a_missing_shard_is_refused_by_name(tmp_path):
    folder = write_sharded_checkpoint(tmp_path / "c")
    (folder / read_index(folder)["model.scale"]).unlink()
    with pytest.raises(CheckpointError, match=r"model-00003-of-00004\.safetensors: file: found No"):
        Checkpoint.open(folder)


def test_an_index_with_a_key_twice_is_refused(tmp_path):
    folder = write_sharded_checkpoint(tmp_path / "c")
    index = folder / "model.safetensors.index.json"
    scale = json.dumps(read_index(folder)["model.scale"])
    text = index.read_text().replace('"model.scale"', f'"model.scale": {scale}, "model.scale"')
    index.write_text(text)
    with pytest.raises(CheckpointError, match="the key 'model.scale' twice"):
        Checkpoint.open(folder)
