from collections import defaultdict

import openai
import pytest

from tapeout import SamplingParams

GREEDY = {"temperature": 0, "max_tokens": 8}


def ask(client, prompt, **fields):
    return client.completions.create(**{"model": "nano", "prompt": prompt} | fields)


def texts(answer):
    return [choice.text for choice in answer.choices]


def offline_texts(offline, prompts, **fields):
    outputs = offline.generate(prompts, SamplingParams(**fields), use_tqdm=False)
    return [completion.text for output in outputs for completion in output.outputs]


def test_prompts_are_texts_or_token_ids_or_lists_of_either(client, offline):
    ids = offline.get_tokenizer().encode("the cat")
    [wanted] = offline_texts(offline, "the cat", **GREEDY)
    [other] = offline_texts(offline, "a dog", **GREEDY)
    assert texts(ask(client, "the cat", **GREEDY)) == [wanted]
    assert texts(ask(client, ids, **GREEDY)) == [wanted]
    assert texts(ask(client, ["the cat", "a dog"], **GREEDY)) == [wanted, other]
    assert texts(ask(client, [ids, ids], **GREEDY)) == [wanted, wanted]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_each_of_several_prompts_has_its_n_choices(client, offline, is_stream):
    fields = {"n": 2, "seed": 3, "max_tokens": 9, "temperature": 1.0}
    prompts = ["one two", "red green", "up"]
    wanted = offline_texts(offline, prompts, **fields)
    if not is_stream:
        answer = ask(client, prompts, **fields)
        assert texts(answer) == wanted and [c.index for c in answer.choices] == list(range(6))
        return
    said = [""] * 6
    for chunk in ask(client, prompts, stream=True, **fields):
        for choice in chunk.choices:
            said[choice.index] += choice.text
    assert said == wanted


def test_what_is_left_out_is_as_openai_has_it(client, offline):
    [wanted] = offline_texts(offline, "one two", max_tokens=16, seed=1)
    answer = ask(client, "one two", seed=1)
    assert texts(answer) == [wanted] and answer.usage.completion_tokens == 16


@pytest.mark.parametrize("prompt", ["one two", [100, 200, 300]], ids=["text", "ids"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_echo_gives_the_prompt_before_the_completion(client, offline, prompt, is_stream):
    answers = ask(client, prompt, echo=True, stream=is_stream, **GREEDY)
    said = "".join(chunk.choices[0].text for chunk in ([answers] if not is_stream else answers))
    given = {"prompt_token_ids": prompt} if isinstance(prompt, list) else prompt
    before = offline.get_tokenizer().decode(prompt) if isinstance(prompt, list) else prompt
    assert [said] == [before + text for text in offline_texts(offline, [given], **GREEDY)]


@pytest.mark.parametrize("max_tokens", [0, 5])
def test_echo_with_logprobs_scores_the_prompt(client, offline, max_tokens):
    params = SamplingParams(
        temperature=0, max_tokens=max(max_tokens, 1), logprobs=1, prompt_logprobs=1
    )
    [output] = offline.generate("one two three", params, use_tqdm=False)
    answer = ask(
        client, "one two three", echo=True, logprobs=1, max_tokens=max_tokens, temperature=0
    )
    [choice] = answer.choices
    entries = [*output.prompt_logprobs[1:], *output.outputs[0].logprobs[:max_tokens]]
    wanted = [next(iter(entry.values())).logprob for entry in entries]
    assert choice.logprobs.token_logprobs == [None, *wanted]
    assert choice.text == "one two three" + (output.outputs[0].text if max_tokens else "")
    assert "".join(choice.logprobs.tokens).startswith(choice.text)
    offsets = choice.logprobs.text_offset
    assert offsets[0] == 0 and offsets == sorted(offsets)
    assert answer.usage.completion_tokens == max_tokens


@pytest.mark.parametrize("fields", [GREEDY, {"n": 3, "seed": 3, "max_tokens": 8}], ids=["1", "n"])
def test_streamed_logprobs_are_those_of_the_whole_answer(client, fields):
    fields = {"logprobs": 2, "echo": True, "stop": ["9"]} | fields
    prompt = "1 2 3 4 " * 40
    whole = {choice.index: choice for choice in ask(client, prompt, **fields).choices}
    tokens, offsets = defaultdict(list), defaultdict(list)
    for chunk in ask(client, prompt, stream=True, **fields):
        for choice in chunk.choices:
            tokens[choice.index] += choice.logprobs.tokens
            offsets[choice.index] += choice.logprobs.text_offset
    for index, choice in whole.items():
        assert tokens[index] == choice.logprobs.tokens
        assert offsets[index] == choice.logprobs.text_offset


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"best_of": 3}, "best_of", "no completion is thrown away"),
        ({"suffix": "end"}, "suffix", "at the end"),
        ({"max_tokens": 0}, "max_tokens", "from 1"),
        ({"max_tokens": -1}, "max_tokens", ">= 0"),
        ({"logprobs": 21}, "logprobs", "from 0 to 20"),
        ({"prompt": ""}, None, "the prompt is empty"),
        ({"prompt": []}, "prompt", "empty"),
        ({"prompt": [1, "a"]}, "prompt", "whole numbers"),
        ({"prompt": [5000]}, "prompt", "vocabulary"),
        ({"prompt": "a b " * 3000}, None, "the model's 2048 positions"),
        ({"stop": [""]}, "stop", "at least one character"),
        ({"extra_body": {"temperature": "0"}}, "temperature", "float"),
        ({"extra_body": {"truncate_prompt_tokens": 0}}, "truncate_prompt_tokens", "no prompt"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(client, fields, param, reason):
    with pytest.raises(openai.BadRequestError, match=reason) as caught:
        ask(client, **{"prompt": "a"} | fields)
    assert caught.value.param == param
