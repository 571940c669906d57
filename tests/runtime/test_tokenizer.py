import json

import pytest
from fake_model import make_tokenizer
from tokenizers import decoders

from tapeout.errors import CheckpointError, InputError
from tapeout.runtime.tokenizer import TextError, Tokenizer

CHAT = [{"role": "user", "content": "hi"}]


@pytest.fixture
def folder(tmp_path):
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_special_tokens_come_as_texts_or_as_records(folder):
    config = {"bos_token": {"content": "<s>", "lstrip": False}, "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": None}))
    (folder / "special_tokens_map.json").write_text('{"unk_token": "<unk>", "eos_token": "<e>"}')
    wanted = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert Tokenizer(folder).special_tokens() == wanted


@pytest.mark.parametrize(
    "template", ["{{ messages[0].content }}!", [{"name": "default", "template": "hi!"}]]
)
def test_a_template_may_be_in_the_config(folder, template):
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    assert Tokenizer(folder).render_chat(CHAT) == "hi!"


def test_a_template_of_its_own_file_goes_before_the_config(folder):
    (folder / "tokenizer_config.json").write_text('{"chat_template": "config"}')
    (folder / "chat_template.jinja").write_text("file")
    assert Tokenizer(folder).render_chat(CHAT) == "file"


def test_a_chat_without_a_template_is_refused(folder):
    assert Tokenizer(folder).chat_template() is None
    with pytest.raises(InputError, match="has no chat template"):
        Tokenizer(folder).render_chat(CHAT)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_file_is_named(folder, name):
    (folder / name).write_text("{")
    with pytest.raises(CheckpointError, match=name):
        Tokenizer(folder)


def test_a_text_and_its_token_ids_are_each_others(folder):
    tokenizer = Tokenizer(folder)
    text = "the cat <eos> naïve 🙂\n"
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False) == text
    assert "<eos>" not in tokenizer.decode(tokenizer.encode(text))


def test_a_long_text_has_the_same_ids_as_its_parts(folder):
    tokenizer = Tokenizer(folder)
    parts = tokenizer.encode("the cat\n" * 10) * 100
    assert tokenizer.encode("the cat\n" * 1000) == parts
    with pytest.raises(InputError, match="is not valid text"):
        tokenizer.encode("\ud800" * 5000)


def test_a_token_has_a_text_of_its_own_also_a_special_one(folder):
    tokenizer = Tokenizer(folder)
    assert [tokenizer.token_text(0) for _ in range(2)] == ["<eos>"] * 2
    assert not tokenizer.puts_spaces_between_special_tokens


def test_a_tokenizer_without_a_decoder_puts_spaces_between_tokens(folder):
    backend = make_tokenizer()
    backend.decoder = decoders.WordPiece()
    backend.save(str(folder / "tokenizer.json"))
    assert Tokenizer(folder).puts_spaces_between_special_tokens


def test_the_longest_token_bounds_the_text_of_a_prompt(folder):
    longest = max(make_tokenizer().get_vocab(), key=len)
    assert Tokenizer(folder).longest_token_characters == len(longest)


class PanicException(BaseException):
    """As a panic of the library comes out of it."""


@pytest.mark.parametrize("error", [ValueError("odd"), PanicException("odd")])
def test_text_that_the_library_cannot_make_is_an_error_of_ours(folder, error):
    class Broken:
        def decode(self, *_, **__):
            raise error

    tokenizer = Tokenizer(folder)
    tokenizer._backend = Broken()
    for call in (tokenizer.decode, lambda ids: tokenizer.token_text(ids[0])):
        with pytest.raises(TextError, match=r"token ids \[5\]: odd"):
            call([5])
