import json

import pytest

from tapeout.errors import CheckpointError
from tapeout.frontend.special_tokens import special_tokens

CONFIG = {"bos_token_id": 1, "eos_token_id": 2}


def test_the_generation_config_is_believed_before_the_config(tmp_path):
    assert special_tokens(tmp_path, CONFIG, 5) == ([2], 1)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 4]}))
    assert special_tokens(tmp_path, CONFIG, 5) == ([3, 4], 1)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": None}))
    assert special_tokens(tmp_path, CONFIG, 5) == ([], 1)
    assert special_tokens(tmp_path, {}, 5) == ([], None)


@pytest.mark.parametrize("outside", [-1, 5, 50256, 1 << 40])
def test_an_id_that_the_vocabulary_lacks_is_left_out_and_told(tmp_path, caplog, outside):
    found = special_tokens(tmp_path, {"bos_token_id": outside, "eos_token_id": [outside, 4]}, 5)
    assert found == ([4], None)
    [first, second] = caplog.messages
    assert first.endswith(
        f"eos_token_id={outside} is left out: ids of the vocabulary go from 0 to 4"
    )
    assert f"bos_token_id={outside}" in second


@pytest.mark.parametrize("field", ["eos_token_id", "bos_token_id"])
@pytest.mark.parametrize("value", ["x", 2.5, True, {}, [1, [2]]])
def test_what_is_no_id_is_refused_naming_file_and_field(tmp_path, field, value):
    (tmp_path / "generation_config.json").write_text(json.dumps({field: value}))
    with pytest.raises(CheckpointError, match=rf"generation_config\.json: {field}: found"):
        special_tokens(tmp_path, CONFIG, 5)
