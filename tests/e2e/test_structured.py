"""Outputs that must match something, over tapeout-nano's real kernels."""

import asyncio
import json
import re

import pytest

from tapeout import LLM, AsyncLLM, RequestOutputKind, SamplingParams
from tapeout import StructuredOutputsParams as Structured

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Rome", "Lima"]},
        "days": {"type": "array", "items": {"enum": [1, 20, 300]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
NUMBER = r"[1-9][0-9]{0,4}\.[0-9]{2}"
PROMPT = "What is 3 + 4?"


@pytest.fixture(scope="module")
def llm(nano):
    return LLM(nano, num_threads=1, max_model_len=256, max_num_seqs=8)


def completions(llm, prompts, structured, **fields):
    fields = {"max_tokens": 100, "temperature": 1.0, "seed": 3} | fields
    params = SamplingParams(structured_outputs=structured, **fields)
    return [c for out in llm.generate(prompts, params, use_tqdm=False) for c in out.outputs]


def test_every_completion_of_a_batch_matches(llm):
    found = completions(llm, [PROMPT] * 20, Structured(regex=NUMBER), n=3, seed=None)
    assert len({c.text for c in found}) > 20
    for completion in found:
        assert re.fullmatch(NUMBER, completion.text) and completion.finish_reason == "stop"


def test_a_schema_is_followed_to_its_end(llm):
    structured = Structured(json=SCHEMA, disable_any_whitespace=True)
    for completion in completions(llm, [PROMPT] * 20, structured, seed=None):
        value = json.loads(completion.text)
        assert value["city"] in ("Oslo", "Rome", "Lima") and 1 <= len(value["days"]) <= 3


def test_the_token_that_ends_the_sequence_is_the_last(llm):
    [greedy] = completions(llm, PROMPT, Structured(choice=["yes", "no"]), temperature=0)
    assert greedy.token_ids[-1] == 2 and greedy.text in ("yes", "no")
    assert (greedy.finish_reason, greedy.stop_reason) == ("stop", None)


def test_where_it_is_ignored_the_grammar_alone_ends_the_request(llm):
    fields = {"temperature": 0, "ignore_eos": True, "min_tokens": 50}
    [completion] = completions(llm, PROMPT, Structured(choice=["yes"]), **fields)
    assert (completion.text, completion.finish_reason) == ("yes", "stop")
    assert 2 not in completion.token_ids


def test_stop_strings_and_lengths_end_it_as_ever(llm):
    [stopped] = completions(llm, PROMPT, Structured(regex=NUMBER), stop=["."])
    assert stopped.text.isdigit() and stopped.stop_reason == "."
    [short] = completions(llm, PROMPT, Structured(regex="[a-z]{90}"), max_tokens=4)
    assert short.finish_reason == "length" and len(short.token_ids) == 4


def test_logprobs_are_those_of_the_model_not_of_the_mask(llm):
    [free] = completions(llm, PROMPT, None, temperature=0, max_tokens=1, logprobs=20)
    [held] = completions(llm, PROMPT, Structured(choice=["maybe"]), temperature=0, logprobs=20)
    names = sorted(free.logprobs[0])
    assert [free.logprobs[0][n].logprob for n in names] == [
        held.logprobs[0][n].logprob for n in names if n in free.logprobs[0]
    ]


def test_a_request_whose_grammar_leaves_nothing_ends_alone(llm):
    params = [
        SamplingParams(structured_outputs=Structured(choice=["yes"]), bad_words=["yes"], seed=1),
        SamplingParams(structured_outputs=Structured(choice=["yes"]), seed=1),
    ]
    outs = llm.generate([PROMPT] * 2, params, use_tqdm=False)
    assert [o.outputs[0].finish_reason for o in outs] == ["grammar_error", "stop"]
    assert llm.engine.is_idle


def test_a_stream_of_deltas_gives_the_same_text(nano, llm):
    [wanted] = completions(llm, PROMPT, Structured(json=SCHEMA))
    params = SamplingParams(
        structured_outputs=Structured(json=SCHEMA),
        max_tokens=100,
        seed=3,
        output_kind=RequestOutputKind.DELTA,
    )

    async def texts():
        async with AsyncLLM(nano, num_threads=1, max_model_len=256) as served:
            return [o.outputs[0].text async for o in served.generate(PROMPT, params)]

    found = asyncio.run(texts())
    assert "".join(found) == wanted.text and len(found) > 5
