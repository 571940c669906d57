import numpy as np
import pytest
from fake_model import CONTEXT, VOCAB, make_tokenizer

from tapeout import RequestOutputKind, SamplingParams
from tapeout.errors import InputError
from tapeout.runtime.edits import ModelBounds
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.inputs import TokenizedPrompt
from tapeout.runtime.intake import Intake, RequestOptions
from tapeout.runtime.tokenizer import Tokenizer

MODEL = ModelBounds(
    vocab_size=VOCAB,
    max_model_len=CONTEXT,
    eos_token_ids=(0,),
    max_edits=64,
    max_prefix_tokens=64,
)
GRAMMARS = GrammarCompiler(None, VOCAB, (0,))
PROMPT = TokenizedPrompt("the cat", np.arange(1, 9, dtype=np.int32))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    return Tokenizer(folder)


def requests(tokenizer=None, shares=True, options=None, kind=None, **fields):
    intake = Intake(tokenizer, MODEL, shares, GRAMMARS)
    options = RequestOptions(**options or {})
    params = intake.checked(SamplingParams(**fields))
    return intake.generation("r", PROMPT, params, options, kind).requests


def test_what_was_asked_for_is_in_the_record():
    options = {"priority": -2, "tenant": "t", "cache_salt": "s", "timeout_s": 5}
    fields = {"max_tokens": 7, "min_tokens": 2, "stop_token_ids": [5], "temperature": 0.5}
    [request] = requests(options=options, **fields)
    assert (request.request_id, request.max_tokens, request.min_tokens) == ("r/0", 7, 2)
    assert (request.stop_token_ids, request.sampling.temperature) == ((5, 0), 0.5)
    assert (request.priority, request.tenant, request.cache_salt) == (-2, "t", b"s")
    assert request.deadline_s is None  # until it is queued
    [request] = requests(max_tokens=None)
    assert request.max_tokens == CONTEXT


def test_deadlines_and_seeds_are_set_when_it_is_queued():
    intake = Intake(None, MODEL, True, GRAMMARS)
    options = RequestOptions(timeout_s=5)
    generation = intake.generation("r", PROMPT, SamplingParams(n=2), options)
    started = generation.start([11, 12], now_s=100.0)
    assert [r.sampling.seed for r in started] == [11, 12]
    assert [r.deadline_s for r in started] == [105.0, 105.0]


@pytest.mark.parametrize("kind", RequestOutputKind)
def test_tokens_are_watched_only_where_someone_looks(kind, tokenizer):
    is_stream = kind is not RequestOutputKind.FINAL_ONLY
    assert requests(kind=kind)[0].watched == is_stream
    for fields in ({"stop": "x"}, {"logprobs": 0}, {"prompt_logprobs": 0}):
        assert requests(tokenizer, kind=kind, **fields)[0].watched


def test_of_n_the_first_alone_tells_the_prompts_logprobs_and_computes_it():
    first, *others = requests(n=3, prompt_logprobs=1)
    assert first.sampling.num_prompt_logprobs == 1 and not first.reads_cache
    assert [r.request_id for r in others] == ["r/1", "r/2"]
    assert all(r.sampling.num_prompt_logprobs is None and r.reads_cache for r in others)


def test_without_a_prefix_cache_the_n_of_one_request_still_share():
    salts = {r.cache_salt for r in requests(n=3, shares=False, options={"cache_salt": "s"})}
    assert salts == {b"r/0"}
    assert {r.cache_salt for r in requests(n=3)} == {b""}


def test_without_a_prefix_cache_a_request_of_one_completion_shares_with_nobody():
    assert [r.cache_salt for r in requests(shares=False)] == [None]


def test_the_callers_params_are_not_touched_and_may_change_later():
    params = SamplingParams(temperature=0)
    intake = Intake(None, MODEL, True, GRAMMARS)
    [(prompt, own)] = intake.prompts(PROMPT, params)
    kind = RequestOutputKind.FINAL_ONLY
    generation = intake.generation("r", prompt, own, RequestOptions(), kind)
    assert params.output_kind is RequestOutputKind.CUMULATIVE
    params.max_tokens = -5
    assert generation.params.max_tokens == 16


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({"truncate_prompt_tokens": 3}, 3),
        ({"truncate_prompt_tokens": 10**6, "max_tokens": 1}, 200),
        ({"truncate_prompt_tokens": -1, "max_tokens": 100}, CONTEXT - 100),
        ({"truncate_prompt_tokens": -1, "max_tokens": None}, 200),
        ({"truncate_prompt_tokens": -1, "max_tokens": 10**6}, 1),
    ],
)
def test_a_prompt_is_cut_at_its_start(params, kept):
    prompt = list(range(1, 201))
    intake = Intake(None, MODEL, True, GRAMMARS)
    [(cut, _)] = intake.prompts({"prompt_token_ids": prompt}, SamplingParams(**params))
    assert cut.token_ids.tolist() == prompt[-kept:]


def test_params_come_one_for_all_or_one_for_each():
    intake = Intake(None, MODEL, True, GRAMMARS)
    params = [SamplingParams(seed=1), SamplingParams(seed=2)]
    assert intake.params_for(2, params) == params
    assert intake.params_for(2, params[0]) == params[:1] * 2
    assert intake.params_for(2, None) == [SamplingParams()] * 2
    with pytest.raises(InputError, match="2 sampling_params for 3 prompts"):
        intake.params_for(3, params)
    for wrong in (5, "x", [None], {}):
        with pytest.raises(InputError, match="sampling_params"):
            intake.prompts({"prompt_token_ids": [1]}, wrong)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stop": "x"}, "stop=x needs a tokenizer"),
        ({"bad_words": ["x"]}, "bad_words=x needs a tokenizer"),
    ],
)
def test_what_needs_text_needs_a_tokenizer(fields, message):
    with pytest.raises(InputError, match=message):
        requests(**fields)


def test_spaces_are_refused_only_where_the_tokenizer_would_put_them(tokenizer):
    fields = {"spaces_between_special_tokens": False, "skip_special_tokens": False}
    requests(tokenizer, **fields)

    class Spaced:
        puts_spaces_between_special_tokens = True

    with pytest.raises(InputError, match="spaces_between_special_tokens=False is not honoured"):
        requests(Spaced(), **fields)


def test_params_are_checked_before_any_prompt_is_tokenized(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "encode", None)
    wrong = SamplingParams()
    wrong.top_p = 2
    with pytest.raises(InputError, match="top_p=2"):
        Intake(tokenizer, MODEL, True, GRAMMARS).prompts(["a", "b"], [SamplingParams(), wrong])


def test_a_text_too_long_for_any_prompt_is_refused_before_it_is_tokenized(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "encode", None)
    with pytest.raises(InputError, match=f"has 1000000 characters.*max_model_len={CONTEXT}"):
        Intake(tokenizer, MODEL, True, GRAMMARS).prompts("a" * 10**6, None)
