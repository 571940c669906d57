import random

import pytest
from fake_model import EOS, VOCAB, make_tokenizer, reference

from tapeout import SamplingParams

TOKENIZER = make_tokenizer()
PROMPT = [8, 8]
LENGTH = 40
SAID = reference(PROMPT, LENGTH)


def ids(prompt):
    return {"prompt_token_ids": prompt}


def ended(llm, prompt=PROMPT, **fields):
    params = SamplingParams(temperature=0, **{"max_tokens": LENGTH, "ignore_eos": True} | fields)
    [out] = llm.generate(ids(prompt), params, use_tqdm=False)
    return out.outputs[0]


def text_of(token_ids):
    """The text so far: what ends in half a character is not there yet."""
    text = TOKENIZER.decode(token_ids)
    return text.removesuffix("\ufffd") if text.endswith("\ufffd") else text


def stopped(stop, include=False, min_tokens=0):
    """vLLM's rule on whole prefixes: the token ids up to the first whose text ends a stop string,
    and the text before it."""
    for count in range(1, LENGTH + 1):
        text, shorter = text_of(SAID[:count]), text_of(SAID[: count - 1])
        if count <= min_tokens:
            continue
        for end in range(len(shorter) + 1, len(text) + 1):
            for candidate in stop:
                if text[:end].endswith(candidate):
                    cut = text[:end] if include else text[: end - len(candidate)]
                    return SAID[:count], cut, candidate
    return SAID, TOKENIZER.decode(SAID), None


def drawn_stops(chance):
    text = TOKENIZER.decode(SAID)
    pieces = [text[i : i + chance.randint(1, 4)] for i in chance.sample(range(len(text)), 3)]
    return [piece for piece in pieces if "\ufffd" not in piece] or ["never"]


@pytest.mark.parametrize("seed", range(40))
def test_a_stop_string_gives_vllms_ids_and_text_though_steps_run_ahead(llm, seed):
    chance = random.Random(seed)
    stop, include, least = drawn_stops(chance), seed % 2 == 0, chance.choice([0, 0, 5, 20])
    found = ended(llm, stop=stop, include_stop_str_in_output=include, min_tokens=least)
    wanted = stopped(stop, include, least)
    assert EOS not in SAID, "min_tokens would ban it"
    assert (found.token_ids, found.text, found.stop_reason) == wanted
    assert found.finish_reason == ("length" if wanted[2] is None else "stop")


def test_a_stop_string_at_the_last_token_goes_before_the_length(llm):
    wanted_ids, _, stop = stopped([TOKENIZER.decode(SAID)[9:12]])
    found = ended(llm, stop=[stop], max_tokens=len(wanted_ids))
    assert (found.finish_reason, found.stop_reason, found.token_ids) == ("stop", stop, wanted_ids)


@pytest.mark.parametrize("include", [False, True])
def test_a_stop_token_is_in_the_ids_and_in_the_text_only_where_asked(llm, include):
    end = SAID.index(SAID[7]) + 1
    found = ended(llm, stop_token_ids=[SAID[7]], include_stop_str_in_output=include)
    assert found.token_ids == SAID[:end] and found.stop_reason == SAID[7]
    assert found.text == TOKENIZER.decode(SAID[: end if include else end - 1])


def test_no_stop_token_comes_before_the_least_length(llm):
    first = SAID.index(SAID[2])
    found = ended(llm, stop_token_ids=[SAID[2]], min_tokens=first + 5)
    assert len(found.token_ids) > first + 5
    assert SAID[2] not in found.token_ids[: first + 5]


def test_the_end_of_sequence_is_banned_up_to_the_least_length(llm):
    prompt = next([i] for i in range(VOCAB - 1) if EOS in reference([i], 20))
    end = reference(prompt, 20).index(EOS)
    assert len(ended(llm, prompt, ignore_eos=False).token_ids) == end + 1
    longer = ended(llm, prompt, ignore_eos=False, min_tokens=end + 3)
    assert EOS not in longer.token_ids[: end + 3] and len(longer.token_ids) >= end + 3


def test_without_detokenizing_there_are_ids_and_no_text(llm):
    found = ended(llm, detokenize=False, logprobs=1)
    assert (found.token_ids, found.text) == (SAID, "")
    assert all(e.decoded_token is None for entries in found.logprobs for e in entries.values())


def test_special_tokens_are_in_the_text_only_where_asked(llm):
    prompt = next([i] for i in range(VOCAB - 1) if EOS in reference([i], 30))
    assert "<eos>" not in ended(llm, prompt).text
    assert "<eos>" in ended(llm, prompt, skip_special_tokens=False).text
    spaced = ended(llm, prompt, skip_special_tokens=False, spaces_between_special_tokens=False)
    assert "<eos>" in spaced.text


def test_a_biased_token_is_chosen_and_a_banned_word_is_not(llm):
    assert ended(llm, logit_bias={5: 10.0}).token_ids == [5] * LENGTH
    allowed = ended(llm, allowed_token_ids=[3, 200, 7])
    assert set(allowed.token_ids) <= {3, 7, 200}
    word = next(
        TOKENIZER.decode([t]) for t in SAID if TOKENIZER.encode(TOKENIZER.decode([t])).ids == [t]
    )
    assert word in TOKENIZER.decode(SAID)
    [banned] = TOKENIZER.encode(word).ids
    assert banned not in ended(llm, bad_words=[word]).token_ids


def test_a_bad_word_of_two_tokens_loses_its_last_one_alone(llm):
    pairs = zip(SAID, SAID[1:], strict=False)
    first, second = next(
        pair for pair in pairs if TOKENIZER.encode(TOKENIZER.decode(pair)).ids == list(pair)
    )
    found = ended(llm, bad_words=[TOKENIZER.decode([first, second])]).token_ids
    assert first in found
    assert (first, second) not in zip(found, found[1:], strict=False)
