from functools import cache

import pytest
from fake_model import make_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from tapeout.runtime.detokenizer import Detokenizer
from tapeout.runtime.tokenizer import Tokenizer


def bytes_of_words():
    return make_tokenizer()


def sentencepiece():
    """Words with a space mark, and a token for each byte of what is in no word."""
    pieces = ["<unk>", *(f"<0x{i:02X}>" for i in range(256)), "▁the", "▁cat", "▁", "s", "at"]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    merges = [("▁", "the")] if "the" in vocab else []
    backend = Backend(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return backend


@pytest.fixture(scope="module", params=[bytes_of_words, sentencepiece])
def tokenizer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    request.param().save(str(folder / "tokenizer.json"))
    return Tokenizer(folder)


def streamed(detokenizer, token_ids):
    texts = []
    for token_id in token_ids:
        detokenizer.push([token_id])
        texts.append(detokenizer.text)
    detokenizer.push([], flush=True)
    return texts, detokenizer.text


TEXTS = ["the cat", "naïve café", "日本語 the", "🙂🙂 at 👩‍👩‍👧", "the  cat s", "a\n\n🙂"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_token_by_token_is_the_text_at_once(tokenizer, text):
    token_ids = tokenizer.encode(text)
    texts, whole = streamed(Detokenizer(tokenizer, []), token_ids)
    assert whole == tokenizer.decode(token_ids)
    assert not any("\ufffd" in part for part in texts)
    assert all(whole.startswith(part) for part in texts)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("num_prompt", [1, 2, 3])
def test_an_answer_goes_on_where_its_prompt_ends(tokenizer, text, num_prompt):
    token_ids = tokenizer.encode("the cat" + text)
    prompt = tokenizer.decode(token_ids[:num_prompt])
    if prompt.endswith("\ufffd"):
        pytest.skip("the prompt ends within a character")
    _, answer = streamed(Detokenizer(tokenizer, token_ids[:num_prompt]), token_ids[num_prompt:])
    assert prompt + answer == tokenizer.decode(token_ids)


def test_a_character_begun_in_the_prompt_is_whole_in_the_answer(tokenizer):
    token_ids = tokenizer.encode("🙂the")
    first = next(i for i in range(1, 9) if "🙂" in tokenizer.decode(token_ids[:i])) - 1
    _, answer = streamed(Detokenizer(tokenizer, token_ids[:first]), token_ids[first:])
    assert answer.strip() == "🙂the" or answer.strip() == "🙂 the"


def test_bytes_that_are_no_character_are_shown_and_do_not_pile_up(tokenizer):
    half = next(t for t in tokenizer.encode("🙂") if tokenizer.decode([t]) == "\ufffd")
    detokenizer = Detokenizer(tokenizer, [])
    for _ in range(100):
        detokenizer.push([half])
    assert len(detokenizer.text) > 50


@given(st.lists(st.integers(0, 319), max_size=40))
def test_any_tokens_of_bytes_stream_to_their_text(token_ids):
    _, whole = streamed(Detokenizer(in_memory(), []), token_ids)
    assert whole == in_memory().decode(token_ids)


BYTES = [i for i in range(1, 257) if make_tokenizer().decode([i]) == "\ufffd"]


@given(
    st.lists(st.sampled_from([*BYTES[:3], *BYTES[-3:], *make_tokenizer().encode("a 🙂é").ids]))
    .map(lambda ids: ids * 6)
    .filter(len)
)
def test_any_bytes_that_are_no_text_stream_to_what_they_are_at_once(token_ids):
    texts, whole = streamed(Detokenizer(in_memory(), token_ids[:2]), token_ids[2:])
    at_once = Detokenizer(in_memory(), token_ids[:2])
    at_once.push(token_ids[2:], flush=True)
    assert whole == at_once.text
    assert all(whole.startswith(part) for part in texts)


def test_bytes_that_are_no_text_cost_the_same_however_many_they_are(tokenizer):
    half = next(t for t in tokenizer.encode("🙂") if tokenizer.decode([t]) == "\ufffd")
    longest = 0

    class Noting:
        def decode(self, token_ids, skip_special_tokens=True):
            nonlocal longest
            longest = max(longest, len(token_ids))
            return tokenizer.decode(token_ids, skip_special_tokens)

    detokenizer = Detokenizer(Noting(), [])
    for _ in range(500):
        detokenizer.push([half])
    assert longest < 50 and len(detokenizer.text) > 480


@cache
def in_memory():
    class InMemory:
        backend = make_tokenizer()

        def decode(self, token_ids, skip_special_tokens=True):
            return self.backend.decode(token_ids, skip_special_tokens=skip_special_tokens)

    return InMemory()


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_a_stop_string_is_found_however_the_tokens_come(tokenizer, size):
    token_ids = tokenizer.encode("the cat sat at the cat")
    detokenizer = Detokenizer(tokenizer, [], stop=["never", "at th", "t the c"])
    for start in range(0, len(token_ids), size):
        detokenizer.push(token_ids[start : start + size])
    assert (detokenizer.text, detokenizer.stop_string) == ("the cat sat ", "at th")


def test_an_end_that_may_start_a_stop_string_is_not_shown_yet(tokenizer):
    detokenizer, shown = Detokenizer(tokenizer, [], stop=["cat!", "at?"]), []
    for token_id in tokenizer.encode("the cat at"):
        detokenizer.push([token_id])
        shown.append(detokenizer.visible_text())
    assert not any(text.endswith(("c", "ca", "cat")) for text in shown)
    assert shown[-1] == "the cat "
    detokenizer.push([], flush=True)
    assert detokenizer.text == "the cat at"


def test_no_stop_string_is_found_that_ends_in_text_where_none_may(tokenizer):
    token_ids = tokenizer.encode("the cat sat at the cat")
    detokenizer, num_guarded = Detokenizer(tokenizer, [], stop=["cat"]), 0
    while "sat" not in detokenizer.text:
        detokenizer.push([token_ids[num_guarded]], may_stop=False)
        num_guarded += 1
    detokenizer.push(token_ids[num_guarded:], flush=True)
    assert detokenizer.text == "the cat sat at the "


def test_a_stop_string_that_is_kept_is_shown_as_it_comes(tokenizer):
    detokenizer = Detokenizer(tokenizer, [], stop=["at th"], include_stop=True)
    for token_id in tokenizer.encode("the cat sat at the cat"):
        detokenizer.push([token_id])
        assert detokenizer.visible_text() == detokenizer.text
    assert detokenizer.text == "the cat sat at th"
