import msgspec
import numpy as np
import pytest

from tapeout import RequestOutputKind, SamplingParams
from tapeout.errors import InputError
from tapeout.runtime.sampling_params import NOT_HONOURED

NAN, INF = float("nan"), float("inf")
SET = {
    "watermarking": object(),
    "prompt_logprob_token_ids": [1],
    "prompt_logprob_start": 0,
    "logprob_token_ids": [1],
    "flat_logprobs": True,
    "logits_processors": [print],
    "extra_args": {"a": 1},
    "thinking_token_budget": 0,
    "repetition_detection": object(),
    "routed_experts_prompt_start": 1,
    "trace_decode_token_ids": [1],
}
HONOURED = set(SamplingParams.__struct_fields__) - set(NOT_HONOURED)
WRONG = [NAN, INF, -INF, "x", b"x", 1.5, -3, 2**64, 10**5000, [None], {"a": 1}, np.zeros(2), print]
# What a field takes of WRONG.
TAKES = {
    "temperature": {1.5},
    "presence_penalty": {1.5},
    "frequency_penalty": {1.5},
    "repetition_penalty": {1.5},
    "seed": {-3},
    "stop": {"x"},
}


@pytest.mark.parametrize("name", NOT_HONOURED)
def test_a_field_that_is_not_honoured_is_refused_by_name_when_it_is_set(name):
    with pytest.raises(InputError, match=f"{name}=.* is not honoured"):
        SamplingParams(**{name: SET[name]})


@pytest.mark.parametrize("name", sorted(SamplingParams.__struct_fields__))
@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(type(value)))
def test_a_value_of_another_kind_is_refused_by_name(name, value):
    if isinstance(value, (str, float, int)) and value in TAKES.get(name, ()):
        SamplingParams(**{name: value})
        return
    with pytest.raises(InputError, match=name):
        SamplingParams(**{name: value})


def test_values_that_mean_off_are_accepted():
    SamplingParams(top_k=-1, top_p=1.0, min_p=0, bad_words=[], logprobs=None, logit_bias=None)
    SamplingParams(extra_args={}, logits_processors=[], flat_logprobs=False, logit_bias={})
    SamplingParams(seed=-1, stop=[], stop_token_ids=[])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": NAN}, "temperature=nan is not allowed; give a number from 0"),
        ({"temperature": -0.1}, "temperature=-0.1 is not allowed"),
        ({"temperature": None}, "temperature=None is not allowed"),
        ({"top_p": 0}, "top_p=0 is not allowed; give a number above 0 to 1"),
        ({"top_p": 1.1}, "top_p=1.1 is not allowed"),
        ({"top_k": -2}, "top_k=-2 is not allowed"),
        ({"min_p": 1.01}, "min_p=1.01 is not allowed"),
        ({"presence_penalty": 2.1}, "presence_penalty=2.1 is not allowed"),
        ({"frequency_penalty": -2.1}, "frequency_penalty=-2.1 is not allowed"),
        ({"repetition_penalty": 0}, "repetition_penalty=0 is not allowed"),
        ({"repetition_penalty": 1e-300}, "repetition_penalty=1e-300 .* from 1e-06 to 1e.06"),
        ({"max_tokens": 0}, "max_tokens=0 is not allowed"),
        ({"max_tokens": 1.5}, "max_tokens=1.5 is not allowed"),
        ({"max_tokens": True}, "max_tokens=True is not allowed"),
        ({"min_tokens": -1}, "min_tokens=-1 is not allowed"),
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens=5 is more than max_tokens=4"),
        ({"n": 0}, "n=0 is not allowed"),
        ({"n": 10**9}, "n=1000000000 is not allowed"),
        ({"n": 2, "temperature": 0}, "n=2 with temperature=0"),
        ({"seed": 2**63}, "seed=9223372036854775808 is not allowed"),
        ({"stop": [""]}, "is not a string of at least one character"),
        ({"stop": [3]}, "stop=3 is not a string"),
        ({"stop": 3}, "stop=3 is not a string or a list"),
        ({"stop": ["x"] * 100_000}, "stop has 100000 strings; give at most 256"),
        ({"stop": "x" * 2**20}, "stop has 1048576 characters in all; give at most 16384"),
        ({"stop": "x", "detokenize": False}, "stop needs the text"),
        ({"stop_token_ids": [-1]}, "stop_token_ids=-1 is not allowed"),
        ({"stop_token_ids": 5}, "stop_token_ids=5 is not a list"),
        ({"logprobs": -1}, "logprobs=-1, those of the whole vocabulary, is not honoured"),
        ({"logprobs": 21}, "logprobs=21 is not allowed; give a whole number from 0 to 20"),
        ({"prompt_logprobs": 10**6}, "prompt_logprobs=1000000 is not allowed"),
        ({"logit_bias": {-1: 1.0}}, "logit_bias=-1 is not allowed"),
        ({"logit_bias": {1: NAN}}, r"logit_bias\[1\]=nan is not allowed"),
        ({"logit_bias": {1: INF}}, r"logit_bias\[1\]=inf is not allowed"),
        ({"logit_bias": {"1": 0.5}}, "logit_bias='1' is not allowed"),
        ({"logit_bias": dict.fromkeys(range(2000), 1.0)}, "logit_bias has 2000 ids"),
        ({"allowed_token_ids": []}, "allows no token"),
        ({"bad_words": [""]}, "bad_words= is not a string of at least one"),
        ({"bad_words": ["\ud800"]}, "bad_words='.ud800' is not a string"),
        ({"stop": "\ud800"}, "stop='.ud800' is not a string"),
        ({"bad_words": ["x"] * 2000}, "bad_words has 2000 strings; give at most 1024"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens=0 leaves no prompt"),
        ({"stream_interval": 0}, "stream_interval=0 is not allowed"),
        ({"output_kind": 1}, "output_kind=1 is not a RequestOutputKind"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(fields, message):
    with pytest.raises(InputError, match=message):
        SamplingParams(**fields)


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(TypeError, match="best_of"):
        SamplingParams(best_of=2)
    with pytest.raises(InputError, match="best_of is no sampling parameter"):
        SamplingParams.from_optional(best_of=None)


def test_a_field_changed_later_is_checked_when_it_is_used(llm):
    params = SamplingParams()
    params.temperature = NAN
    with pytest.raises(InputError, match="temperature=nan"):
        llm.generate({"prompt_token_ids": [1]}, params, use_tqdm=False)


def test_a_tiny_temperature_means_greedy():
    assert SamplingParams(temperature=1e-6).is_greedy
    assert not SamplingParams(temperature=0.3).is_greedy


def test_optional_fields_are_left_at_their_default_where_they_are_none():
    params = SamplingParams.from_optional(temperature=None, top_p=0.5, n=None, max_tokens=None)
    wanted = SamplingParams(top_p=0.5, max_tokens=None)
    assert params == wanted


def test_an_optional_bias_is_cut_as_openai_has_it():
    params = SamplingParams.from_optional(logit_bias={"5": 500, 6: -1e9, "7": 1})
    assert params.logit_bias == {5: 100.0, 6: -100.0, 7: 1}
    with pytest.raises(InputError, match="logit_bias='five' is not allowed"):
        SamplingParams.from_optional(logit_bias={"five": 1})
    with pytest.raises(InputError, match="logit_bias"):
        SamplingParams.from_optional(logit_bias={"5": NAN})


def test_a_clone_is_equal_and_apart():
    params = SamplingParams(temperature=0.5, stop=["x"], output_kind=RequestOutputKind.DELTA)
    clone = params.clone()
    assert clone == params
    clone.temperature = 0.1
    assert params.temperature == 0.5


def test_the_prompts_logprobs_are_computed_and_not_taken_from_the_cache():
    assert SamplingParams().reads_prefix_cache
    assert not SamplingParams(prompt_logprobs=0).reads_prefix_cache
    assert not SamplingParams(skip_reading_prefix_cache=True).reads_prefix_cache
    assert SamplingParams(prompt_logprobs=0, skip_reading_prefix_cache=False).reads_prefix_cache


def test_every_field_is_honoured_or_refused():
    defaults = {f.name: f.default for f in msgspec.structs.fields(SamplingParams)}
    assert set(SET) == set(NOT_HONOURED) and HONOURED | set(SET) == set(defaults)
