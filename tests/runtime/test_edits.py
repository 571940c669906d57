import numpy as np
import pytest
from fake_model import VOCAB, make_tokenizer

from tapeout import SamplingParams
from tapeout.errors import InputError
from tapeout.runtime.edits import ModelBounds, make_sampling, stop_token_ids
from tapeout.runtime.tokenizer import Tokenizer

BAN, FOREVER, EOS = -np.inf, 2**31 - 1, (0, 9)
MODEL = ModelBounds(
    vocab_size=VOCAB, max_model_len=256, eos_token_ids=EOS, max_edits=8, max_prefix_tokens=6
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    return Tokenizer(folder)


def sampling(tokenizer=None, num_prompt_tokens=10, **fields):
    return make_sampling(SamplingParams(**fields), num_prompt_tokens, tokenizer, MODEL)


def edits_of(sampling):
    edits = sampling.edits
    starts, prefixes = edits.prefix_starts.tolist(), edits.prefix_tokens.tolist()
    prefix_of = [prefixes[a:b] for a, b in zip(starts, starts[1:], strict=False)]
    columns = edits.token_ids.tolist(), edits.values.tolist(), edits.ends.tolist(), prefix_of
    return list(zip(*columns, strict=True))


def test_plain_params_need_no_edits_and_no_mask():
    plain = sampling()
    assert plain.edits is None and plain.mask is None
    assert (plain.temperature, plain.top_k, plain.top_p, plain.min_p) == (1.0, 0, 1.0, 0.0)


def test_numbers_go_through_and_a_top_k_of_the_whole_vocabulary_is_off():
    fields = {"temperature": 0.5, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.2}
    fields |= {"presence_penalty": -1, "frequency_penalty": 2, "logprobs": 3, "prompt_logprobs": 0}
    made = sampling(top_k=VOCAB - 1, **fields)
    assert all(getattr(made, name) == fields[name] for name in list(fields)[:6])
    assert (made.top_k, made.num_logprobs, made.num_prompt_logprobs) == (VOCAB - 1, 3, 0)
    assert sampling(top_k=VOCAB).top_k == sampling(top_k=-1).top_k == 0


def test_a_greedy_choice_needs_no_set():
    greedy = sampling(temperature=1e-9, top_k=5, top_p=0.5, min_p=0.5, repetition_penalty=2.0)
    assert (greedy.temperature, greedy.top_k, greedy.top_p, greedy.min_p) == (0.0, 0, 1.0, 0.0)
    assert greedy.repetition_penalty == 2.0


def test_biases_last_for_ever():
    made = edits_of(sampling(logit_bias={5: 1.5, 3: -2}))
    assert made == [(5, 1.5, FOREVER, []), (3, -2.0, FOREVER, [])]


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_stop_tokens_and_ends_of_sequence_are_banned_up_to_the_least_length(ignore_eos):
    made = sampling(min_tokens=4, stop_token_ids=[7, 9, 7], ignore_eos=ignore_eos)
    assert edits_of(made) == [(t, BAN, 14, []) for t in (7, 9, 0)]


def test_a_bad_word_is_banned_at_its_last_token_with_and_without_a_space(tokenizer):
    words = ["cat", "the", "cat sat on"]
    made = edits_of(sampling(tokenizer, bad_words=words))
    wanted = []
    for word in words:
        bare, spaced = tokenizer.encode(word), tokenizer.encode(" " + word)
        wanted.append((bare[-1], BAN, FOREVER, bare[:-1]))
        if len(spaced) == len(bare) and spaced[0] != bare[0]:
            wanted.append((spaced[-1], BAN, FOREVER, spaced[:-1]))
    assert made == wanted


def test_a_mask_has_a_bit_for_each_allowed_token():
    mask = sampling(allowed_token_ids=[0, 31, 32, VOCAB - 1]).mask
    assert mask.dtype == np.int32 and len(mask) == -(-VOCAB // 32)
    allowed = [v for v in range(VOCAB) if int(mask[v // 32]) >> (v % 32) & 1]
    assert allowed == [0, 31, 32, VOCAB - 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"logit_bias": {VOCAB: 1.0}}, f"logit_bias={VOCAB} is not in the vocabulary; ids go"),
        ({"stop_token_ids": [VOCAB]}, f"stop_token_ids={VOCAB} is not in the vocabulary"),
        ({"allowed_token_ids": [1, VOCAB]}, f"allowed_token_ids={VOCAB} is not in the voc"),
        ({"logit_bias": dict.fromkeys(range(9), 1.0)}, "make 9 edits .* compiled for 8 behind 6"),
        ({"bad_words": ["cat sat on the mat"]}, "edits of logits behind . tokens; the model"),
        ({"allowed_token_ids": [0, 9], "min_tokens": 1}, "leaves no token to choose"),
        ({"bad_words": ["c"], "allowed_token_ids": [67]}, "leaves no token to choose"),
        ({"bad_words": [" "], "allowed_token_ids": [1]}, "has no token; leave it out"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(tokenizer, fields, message):
    if fields.get("bad_words") == ["c"]:
        fields = fields | {"allowed_token_ids": tokenizer.encode("c")}
    with pytest.raises(InputError, match=message):
        sampling(tokenizer, **fields)


def test_bad_words_need_a_tokenizer():
    with pytest.raises(InputError, match="bad_words=x needs a tokenizer"):
        sampling(bad_words=["x"])


def test_each_stop_token_is_named_once():
    params = SamplingParams(stop_token_ids=[5, 9, 5])
    assert stop_token_ids(params, EOS) == (5, 9, 0)
    params.ignore_eos = True
    assert stop_token_ids(params, EOS) == (5, 9)
