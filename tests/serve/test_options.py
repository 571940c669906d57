import json
import subprocess
import sys

import httpx
import pytest
from click.testing import CliRunner
from server import serving

from tapeout.cli import main
from tapeout.errors import InputError
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
