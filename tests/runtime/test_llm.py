import sys
import threading

import numpy as np
import pytest
from fake_model import CONTEXT, EOS, VOCAB, make_tokenizer, reference

from tapeout import LLM, SamplingParams
from tapeout.errors import InputError

GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)

CHAT = [{"role": "user", "content": "a"}]


def prompt_of(length, salt=0):
    return [(7 * i + 13 * salt + 1) % VOCAB for i in range(length)]


def ids(prompt):
    return {"prompt_token_ids": prompt}


def token_ids(outputs):
    return [out.outputs[0].token_ids for out in outputs]


def test_prompts_of_many_lengths_get_their_own_tokens_in_their_order(llm):
    prompts = [prompt_of(n, n) for n in (1, 40, 3, 100, 16, 17, 15, 33, 2)]
    outputs = llm.generate([ids(p) for p in prompts], GREEDY, use_tqdm=False)
    assert token_ids(outputs) == [reference(p, 12) for p in prompts]
    assert [out.prompt_token_ids for out in outputs] == prompts


def test_an_output_has_the_shape_that_vllm_gives_it(llm):
    [out] = llm.generate("the cat", GREEDY, use_tqdm=False)
    [completion] = out.outputs
    tokenizer = make_tokenizer()
    assert out.prompt == "the cat" and out.finished and out.prompt_logprobs is None
    assert out.prompt_token_ids == tokenizer.encode("the cat").ids
    assert (completion.index, completion.finish_reason) == (0, "length")
    assert completion.stop_reason is None and completion.cumulative_logprob is None
    assert completion.text == tokenizer.decode(completion.token_ids)
    assert out.metrics.arrived_s <= out.metrics.first_token_s <= out.metrics.finished_s


def test_each_prompt_may_have_its_own_params(llm):
    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in (3, 7)]
    outputs = llm.generate([ids([5]), ids([6])], params, use_tqdm=False)
    assert token_ids(outputs) == [reference([5], 3), reference([6], 7)]


def test_a_seed_gives_the_same_tokens_whatever_else_runs(llm):
    params = SamplingParams(temperature=0.8, seed=42, max_tokens=20, ignore_eos=True)
    [alone] = llm.generate(ids([1, 2, 3]), params, use_tqdm=False)
    mixed = llm.generate([ids(prompt_of(n)) for n in (30, 50)] + [ids([1, 2, 3])], params, False)
    assert token_ids([alone]) == token_ids(mixed[2:]) == [reference([1, 2, 3], 20, seed=42)]


def test_requests_without_a_seed_differ_and_follow_the_seed_of_the_model(fake):
    params = SamplingParams(temperature=1.0, max_tokens=8, ignore_eos=True)

    def sampled(seed):
        llm = LLM(fake, seed=seed, skip_tokenizer_init=True)
        return token_ids(llm.generate([ids([9])] * 2, params, use_tqdm=False))

    first = sampled(1)
    assert first[0] != first[1]
    assert sampled(1) == first and sampled(2) != first


def test_n_gives_different_completions_of_one_prompt(llm):
    params = SamplingParams(n=3, seed=5, max_tokens=6, ignore_eos=True)
    [out] = llm.generate(ids([4, 4]), params, use_tqdm=False)
    assert [c.index for c in out.outputs] == [0, 1, 2]
    assert len({tuple(c.token_ids) for c in out.outputs}) == 3
    assert out.outputs[0].token_ids == reference([4, 4], 6, seed=5)


def test_end_of_sequence_ends_an_answer_unless_it_is_ignored(llm):
    prompt = next(p for p in ([i] for i in range(VOCAB)) if EOS in reference(p, 100))
    wanted = reference(prompt, 100)
    wanted = wanted[: wanted.index(EOS) + 1]
    [out] = llm.generate(ids(prompt), SamplingParams(temperature=0, max_tokens=100), False)
    assert (out.outputs[0].token_ids, out.outputs[0].finish_reason) == (wanted, "stop")
    assert out.outputs[0].stop_reason is None


def test_a_stop_token_id_is_the_reason_and_its_text_is_left_out(llm):
    said = reference([8, 8], 12)
    params = SamplingParams(temperature=0, stop_token_ids=[said[5]], ignore_eos=True)
    [out] = llm.generate(ids([8, 8]), params, use_tqdm=False)
    end = said.index(said[5]) + 1
    assert out.outputs[0].token_ids == said[:end]
    assert out.outputs[0].stop_reason == said[5]
    assert out.outputs[0].text == make_tokenizer().decode(said[: end - 1])


@pytest.mark.parametrize("include", [False, True])
def test_a_stop_string_ends_the_text_also_across_tokens(llm, include):
    [whole] = llm.generate("the cat", GREEDY, use_tqdm=False)
    text = whole.outputs[0].text
    stop = text[len(text) // 2 : len(text) // 2 + 3]
    params = SamplingParams(
        temperature=0,
        max_tokens=12,
        ignore_eos=True,
        stop=["never said", stop],
        include_stop_str_in_output=include,
    )
    [out] = llm.generate("the cat", params, use_tqdm=False)
    wanted = text[: text.index(stop)] + (stop if include else "")
    assert (out.outputs[0].text, out.outputs[0].stop_reason) == (wanted, stop)
    assert out.outputs[0].finish_reason == "stop"
    assert len(out.outputs[0].token_ids) < 12


def test_a_stream_gives_what_generate_gives_bit_by_bit(llm):
    [whole] = llm.generate("the cat", GREEDY, use_tqdm=False)
    steps = list(llm.stream("the cat", GREEDY))
    texts = [out.outputs[0].text for out in steps]
    assert steps[-1].outputs == whole.outputs and steps[-1].finished
    assert len(steps) == 12
    assert all(b.startswith(a) for a, b in zip(texts, texts[1:], strict=False))


def test_two_streams_and_a_batch_can_go_on_at_once(llm):
    a, b = llm.stream(ids([1]), GREEDY), llm.stream(ids([2]), GREEDY)
    next(a), next(b)
    [between] = llm.generate(ids([3]), GREEDY, use_tqdm=False)
    assert token_ids([between]) == [reference([3], 12)]
    assert token_ids([list(a)[-1], list(b)[-1]]) == [reference([1], 12), reference([2], 12)]


def test_a_stream_that_is_left_gives_its_pages_back(llm):
    stream = llm.stream(ids([1]), SamplingParams(max_tokens=200, ignore_eos=True))
    next(stream)
    stream.close()
    llm.generate(ids([2]), GREEDY, use_tqdm=False)
    assert llm.engine.scheduler.num_unfinished == 0
    llm.engine.scheduler.cache.check_integrity()


def test_a_batch_that_is_interrupted_leaves_nothing_behind(llm):
    def interrupt(**_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        llm.generate([ids([1])] * 9, GREEDY, use_tqdm=interrupt)
    assert token_ids(llm.generate(ids([2]), GREEDY, use_tqdm=False)) == [reference([2], 12)]
    assert llm.engine.num_unfinished == 0


def test_a_chat_goes_through_the_template(llm):
    messages = [{"role": "user", "content": "cat"}]
    tools = [{"type": "function", "function": {"name": "f"}}]
    [out] = llm.chat(messages, GREEDY, use_tqdm=False, tools=tools)
    assert out.prompt == '<user>cat[{"type": "function", "function": {"name": "f"}}]<a>'
    outputs = llm.chat([messages, messages], GREEDY, use_tqdm=False)
    assert [out.prompt for out in outputs] == ["<user>cat<a>"] * 2


def test_rendered_chats_go_in_alone_or_in_a_list(llm):
    chat = [{"role": "user", "content": "the cat"}]
    rendered = llm.render_chat(chat)
    wanted = token_ids(llm.chat(chat, GREEDY, use_tqdm=False))
    assert token_ids(llm.generate(rendered, GREEDY, use_tqdm=False)) == wanted
    assert token_ids(llm.generate([rendered] * 2, GREEDY, use_tqdm=False)) == wanted * 2


def test_one_seed_says_the_same_in_every_place_of_a_crowd(llm):
    params = SamplingParams(temperature=1.0, seed=11, max_tokens=5, ignore_eos=True)
    outputs = llm.generate([ids([7, 7])] * 100, params, use_tqdm=False)
    assert token_ids(outputs) == [reference([7, 7], 5, seed=11)] * 100


@pytest.mark.parametrize("most", [None, 2**31 - 1])
def test_an_answer_without_a_limit_ends_with_the_context(llm, most):
    params = SamplingParams(temperature=0, max_tokens=most, ignore_eos=True)
    [out] = llm.generate(ids(prompt_of(200)), params, use_tqdm=False)
    assert token_ids([out]) == [reference(prompt_of(200), CONTEXT - 200)]
    assert out.outputs[0].finish_reason == "length"


def test_a_chat_takes_the_options_of_a_request(llm):
    chats = [[{"role": "user", "content": text}] for text in ("cat", "mat")]
    outputs = llm.chat(chats, GREEDY, False, priority=[1, 0], timeout_s=60, tenant="t")
    assert [out.outputs[0].finish_reason for out in outputs] == ["length"] * 2
    with pytest.raises(InputError, match="tenant=5"):
        llm.chat(chats, GREEDY, False, tenant=5)
    with pytest.raises(TypeError, match="tenat"):
        next(llm.stream("a", GREEDY, tenat="t"))


def test_a_batch_out_of_time_ends_with_what_it_has(llm):
    outputs = llm.generate([ids([1])] * 9, GREEDY, use_tqdm=False, timeout_s=1e-9)
    assert [out.outputs[0].finish_reason for out in outputs] == ["timeout"] * 9


def test_the_longest_prompt_leaves_room_for_one_token(llm):
    prompt = prompt_of(CONTEXT - 1)
    [out] = llm.generate(ids(prompt), GREEDY, use_tqdm=False)
    assert token_ids([out]) == [reference(prompt, 1)]
    with pytest.raises(InputError, match=f"{CONTEXT} tokens.* the model's {CONTEXT} pos"):
        llm.generate(ids(prompt_of(CONTEXT)), GREEDY, use_tqdm=False)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (ids([]), "the prompt is empty"),
        ("", "the prompt is empty"),
        (ids([3, -1]), r"prompt_token_ids\[1\]=-1 is not in the vocabulary"),
        (ids([VOCAB]), f"prompt_token_ids.0.={VOCAB} .* 0 to {VOCAB - 1}"),
        (ids([2**70]), "not a flat list of whole numbers"),
        (ids([1.0]), "not a flat list of whole numbers"),
        (ids([[1]]), "not a flat list of whole numbers"),
        (ids("abc"), "not a flat list of whole numbers"),
        (ids(3), "not a flat list of whole numbers"),
        ({"prompt": "a", "multi_modal_data": {}}, "multi_modal_data, which is not supported"),
        ({"text": "a"}, "text, which is not supported"),
        ({}, "neither a text nor prompt_token_ids"),
        (7, "prompts=7 is not a text"),
        ([None], "not a flat list of whole numbers"),
        (["a", 3], "prompt 3 is not a text"),
        ("\ud800", "not valid text"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused_by_name(llm, prompts, message):
    with pytest.raises(InputError, match=message):
        llm.generate(prompts, GREEDY, use_tqdm=False)
    assert llm.engine.num_unfinished == 0


def test_one_bad_prompt_keeps_the_others_from_being_computed(llm):
    with pytest.raises(InputError, match="the prompt is empty"):
        llm.generate([ids([1]), ids([])], GREEDY, use_tqdm=False)
    with pytest.raises(InputError, match="3 sampling_params for 1 prompts"):
        llm.generate(ids([1]), [GREEDY] * 3, use_tqdm=False)
    assert llm.engine.num_unfinished == 0


def test_no_prompts_give_no_outputs(llm):
    assert llm.generate([], GREEDY) == []


def test_without_a_tokenizer_token_ids_go_in_and_come_out(fake):
    llm = LLM(fake, skip_tokenizer_init=True)
    [out] = llm.generate(ids(np.array([1, 2])), GREEDY, use_tqdm=False)
    assert (token_ids([out]), out.outputs[0].text) == ([reference([1, 2], 12)], "")
    with pytest.raises(InputError, match="needs a tokenizer"):
        llm.generate("a", GREEDY)
    with pytest.raises(InputError, match="needs a tokenizer"):
        llm.generate(ids([1]), SamplingParams(stop="x"), use_tqdm=False)


def test_the_progress_bar_counts_prompts(llm):
    bars = []

    class Bar:
        def __init__(self, total, **_):
            self.total, self.num, self.closed = total, 0, False
            bars.append(self)

        def set_postfix_str(self, text, refresh):
            assert "tokens/s" in text

        def update(self, count):
            self.num += count

        def close(self):
            self.closed = True

    llm.generate([ids([1])] * 5, GREEDY, use_tqdm=Bar)
    assert [(bar.total, bar.num, bar.closed) for bar in bars] == [(5, 5, True)]


def test_threads_that_share_a_model_get_their_own_tokens(llm):
    prompts = [prompt_of(n, n) for n in (1, 30, 5)]
    wanted = [reference(p, 12) for p in prompts]
    found = []

    def work():
        for _ in range(5):
            outputs = llm.generate([ids(p) for p in prompts], GREEDY, use_tqdm=False)
            found.append(token_ids(outputs))

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    sys.setswitchinterval(interval_s)
    assert found == [wanted] * 20
    assert llm.engine.is_idle and not llm._boxes


@pytest.mark.parametrize(
    ("messages", "options", "message"),
    [
        (None, {}, "messages=None is not a list"),
        ({"role": "user", "content": "a"}, {}, "messages=.* is not a list"),
        ("hi", {}, "messages=hi is not a list"),
        ([3], {}, "messages=3 is not a list"),
        ([CHAT, None], {}, "messages=None is not a list"),
        (CHAT, {"tools": 1}, "tools=1 is not a list"),
        (CHAT, {"chat_template_kwargs": [1]}, "chat_template_kwargs=.1. is not a dict"),
        (CHAT, {"chat_template_kwargs": {0: 1}}, "chat_template_kwargs=.0: 1. is not a dict"),
        (CHAT, {"chat_template_kwargs": {"messages": 1}}, "other than messages"),
    ],
)
def test_a_chat_that_cannot_be_is_refused_by_name(llm, messages, options, message):
    with pytest.raises(InputError, match=message):
        llm.chat(messages, GREEDY, use_tqdm=False, **options)
    assert llm.engine.num_unfinished == 0


def test_a_stream_of_what_cannot_be_is_refused_before_its_first_output(llm):
    for prompt, params, options in (("", GREEDY, {}), ("a", 3, {}), ("a", GREEDY, {"tenant": 1})):
        with pytest.raises(InputError):
            llm.stream(prompt, params, **options)
