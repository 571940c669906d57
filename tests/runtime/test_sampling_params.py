import pytest

from tapeout import SamplingParams
from tapeout.errors import InputError
from tapeout.runtime.sampling_params import NOT_YET_HONOURED

SET = {
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "repetition_penalty": 1.1,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "min_tokens": 2,
    "bad_words": ["x"],
    "logprobs": 1,
    "prompt_logprobs": 0,
    "flat_logprobs": True,
    "logits_processors": [print],
    "truncate_prompt_tokens": 5,
    "structured_outputs": {"json": {}},
    "logit_bias": {1: 2.0},
    "allowed_token_ids": [1],
    "extra_args": {"a": 1},
}


@pytest.mark.parametrize("name", NOT_YET_HONOURED)
def test_a_field_that_is_not_honoured_is_refused_by_name_when_it_is_set(name):
    with pytest.raises(InputError, match=f"{name}=.* is not honoured"):
        SamplingParams(**{name: SET[name]})


def test_values_that_mean_off_are_accepted():
    SamplingParams(top_k=-1, top_p=1.0, min_p=0, bad_words=[], logprobs=None, logit_bias=None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": float("nan")}, "temperature=nan is not allowed"),
        ({"temperature": float("inf")}, "temperature=inf is not allowed"),
        ({"temperature": -0.1}, "temperature=-0.1 is not allowed"),
        ({"temperature": "hot"}, "temperature=hot is not allowed"),
        ({"temperature": None}, "temperature=None is not allowed"),
        ({"max_tokens": 0}, "max_tokens=0 is not allowed"),
        ({"max_tokens": 1.5}, "max_tokens=1.5 is not allowed"),
        ({"max_tokens": True}, "max_tokens=True is not allowed"),
        ({"n": 0}, "n=0 is not allowed"),
        ({"n": 2, "temperature": 0}, "n=2 with temperature=0"),
        ({"seed": 2**63}, "seed=9223372036854775808 is not allowed"),
        ({"stop": [""]}, "is not a string of 1 to"),
        ({"stop": [3]}, "stop=3 is not a string"),
        ({"stop": 3}, "stop=3 is not a string or a list"),
        ({"stop": ["x"] * 100_000}, "stop has 100000 strings; give at most 256"),
        ({"stop": "x", "detokenize": False}, "stop needs the text"),
        ({"stop_token_ids": [-1]}, "stop_token_ids=-1 is not allowed"),
        ({"stop_token_ids": 5}, "stop_token_ids=5 is not a list"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(fields, message):
    with pytest.raises(InputError, match=message):
        SamplingParams(**fields)


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(TypeError, match="best_of"):
        SamplingParams(best_of=2)


def test_a_field_changed_later_is_checked_when_it_is_used(llm):
    params = SamplingParams()
    params.temperature = float("nan")
    with pytest.raises(InputError, match="temperature=nan"):
        llm.generate({"prompt_token_ids": [1]}, params, use_tqdm=False)


def test_a_tiny_temperature_means_greedy():
    assert SamplingParams(temperature=1e-6).effective_temperature == 0
    assert SamplingParams(temperature=0.3).effective_temperature == 0.3
