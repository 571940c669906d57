import json
import subprocess
import sys

import httpx
import pytest
from click.testing import CliRunner
from fake_model import CONTEXT
from server import serving

from tapeout import LLM
from tapeout.cli import main
from tapeout.errors import InputError, TapeoutError
from tapeout.serve import run
from tapeout.serve.options import (
    TEXTS,
    ServeOptions,
    list_options,
    make_options,
    read_api_keys,
    read_config,
)


def test_every_option_says_what_it_does_and_is_on_the_command_line():
    assert list(TEXTS) == list(ServeOptions.__struct_fields__)
    shown = CliRunner().invoke(main, ["serve", "--help"]).output
    assert [o.name for o in list_options() if f"--{o.name.replace('_', '-')}" not in shown] == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"port": 70000}, "port=70000 is not allowed: Expected `int` <= 65535"),
        ({"num_fronts": 0}, "num_fronts=0 is not allowed: Expected `int` >= 1"),
        ({"nonsense": 1}, "nonsense is no option of serve"),
        ({"max_num_seqs": "8"}, "max_num_seqs='8' is not allowed; give a whole number from 1"),
        ({"max_model_len": 1.5}, "max_model_len=1.5 is not allowed; give a whole number from 2"),
        ({"log_level": "loud"}, "log_level=loud is not allowed: Invalid enum value"),
        ({"api_key": "one"}, "api_key is not allowed: Expected `array`"),
        ({"api_key": ["one", 2]}, "api_key is not allowed: Expected `str`, got `int`"),
        ({"drain_timeout_s": "soon"}, "drain_timeout_s=soon is not allowed: Expected `float`"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(given, reason):
    with pytest.raises(InputError, match=reason.replace("(", r"\(")):
        make_options(given)


def test_a_config_file_gives_options_and_the_command_line_goes_before_it(nano, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text('max-num-seqs = 3\nserved_model_name = ["one", "two"]\nnum-threads = 1\n')
    with serving(nano, "--config", str(config), "--served-model-name", "three") as server:
        cards = httpx.get(f"{server.url}/v1/models").json()["data"]
        assert [card["id"] for card in cards] == ["three"]
    assert make_options(read_config(config)).max_num_seqs == 3


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_model_len", 1),
        ("max_model_len", "1.5"),
        ("max_model_len", CONTEXT + 1),
        ("max_num_seqs", -3),
        ("max_num_seqs", 2**31 // CONTEXT),
        ("max_num_batched_tokens", 0),
        ("max_num_batched_tokens", 10**30),
        ("kv_cache_bytes", 1),
        ("kv_cache_bytes", "4GiB"),
        ("kv_cache_bytes", 2**50),
        ("gpu_memory_utilization", "much"),
        ("gpu_memory_utilization", float("nan")),
        ("gpu_memory_utilization", 1e-9),
        ("num_threads", 0),
        ("num_threads", 9999),
        ("dtype", "bfloat16"),
        ("load_format", "dummy"),
    ],
)
def test_a_limit_is_refused_before_the_server_listens_in_the_words_of_llm(
    fake, monkeypatch, option, value
):
    monkeypatch.setattr(run, "listen", lambda sockets: pytest.fail("it listens"))
    with pytest.raises(TapeoutError) as raised:
        LLM(fake, **{option: value})
    arguments = ["--port", "0", f"--{option.replace('_', '-')}={value}"]
    result = CliRunner().invoke(main, ["serve", str(fake), *arguments])
    assert (result.exit_code, result.stderr) == (2, f"Error: {raised.value}\n")


def test_limits_that_contradict_each_other_are_refused_before_a_checkpoint_is_compiled(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(run, "artifact_of", lambda *_: pytest.fail("it is compiled"))
    limits = ["--max-num-seqs", "9", "--max-num-batched-tokens", "8"]
    result = CliRunner().invoke(main, ["serve", str(tmp_path), *limits])
    assert result.exit_code == 2 and "=8 is below max_num_seqs=9; each seq" in result.stderr


def test_a_cache_may_have_more_than_two_gib():
    assert make_options({"kv_cache_bytes": 80 << 30}).limits().kv_cache_bytes == 80 << 30


@pytest.mark.parametrize("content", ["port = ", "= 1", None])
def test_a_config_file_that_cannot_be_read_is_refused(tmp_path, content):
    config = tmp_path / "serve.toml"
    if content is not None:
        config.write_text(content)
    with pytest.raises(InputError, match=r"config .*serve.toml cannot be read"):
        read_config(config)


def test_keys_are_those_of_the_options_and_of_the_file(tmp_path):
    file = tmp_path / "keys"
    file.write_text("b\n\n c \n")
    options = ServeOptions(api_key=["a"], api_key_file=str(file))
    assert read_api_keys(options) == ["a", "b", "c"]
    with pytest.raises(InputError, match="let everybody in"):
        read_api_keys(ServeOptions(api_key=[""]))
    file.write_text("\n")
    with pytest.raises(InputError, match="holds no key"):
        read_api_keys(ServeOptions(api_key_file=str(file)))
    with pytest.raises(InputError, match="cannot be read"):
        read_api_keys(ServeOptions(api_key_file=str(tmp_path / "none")))


def test_a_server_tells_a_context_that_the_cache_cuts(fake):
    with serving(fake, "--kv-cache-bytes", "1536", "--num-threads", "1") as server:
        body = {"prompt": [5] * 90}
        answer = httpx.post(f"{server.url}/v1/completions", json=body)
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    told = [line["message"] for line in lines if line["level"] == "warning"]
    assert len(told) == 1 and told[0].startswith("max_model_len is 80, for a key-value cache of")
    assert answer.status_code == 400
    assert "80 tokens that the key-value cache holds" in answer.json()["error"]["message"]


@pytest.mark.slow
def test_a_checkpoint_is_compiled_first(checkpoint_with_tokenizer):
    with serving(checkpoint_with_tokenizer, "--num-threads", "1") as server:
        [card] = httpx.get(f"{server.url}/v1/models").json()["data"]
        assert card["id"] == "tiny", "the checkpoint's name, not that of its place in the cache"
        body = {"prompt": "w5 w6", "max_tokens": 3, "ignore_eos": True}
        answer = httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)
        assert answer.json()["usage"]["completion_tokens"] == 3
        assert server.stop() == 0


def test_what_is_no_model_is_refused_on_one_line(tmp_path):
    command = [sys.executable, "-m", "tapeout.cli", "serve", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "is no model" in done.stderr


def test_no_option_of_a_child_is_in_its_command_line(nano):
    with serving(nano, "--api-key", "quokka", "--num-threads", "1") as server:
        children = server.children("serve.")
        assert len(children) == 2
        assert "quokka" not in json.dumps([child.cmdline() for child in children])
