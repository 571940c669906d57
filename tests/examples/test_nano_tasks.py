"""The tasks and the tokenizer of tapeout-nano; the model itself is measured by evaluate.py."""

import json
import random
import sys
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from examples.nano import tasks  # noqa: E402
from examples.nano.chat_format import segments  # noqa: E402
from examples.nano.conversations import Conversation  # noqa: E402

CHECKPOINT = ROOT / "examples/nano/checkpoint"
UNICODE = (
    "naïve Ünïcode",
    "数字 ٣٤ Ω≈ç",
    "🎉👩‍👩‍👧 zalgo̷",
    "\x00\x7f\u200b\ufeff",
    " \t\r\n  a \n\n",
    "1234 007",
)
WRONG = {
    "copy": lambda answer: answer + " more",
    "reverse": lambda answer: " ".join(reversed(answer.replace(",", "").split())) + " x",
    "sort": lambda answer: "zzz " + answer,
    "add": lambda answer: answer + "0",
    "subtract": lambda answer: answer[:-1] + str((int(answer[-1]) + 1) % 10),
    "extract": lambda answer: answer[:-1],
    "tool_call": lambda answer: answer.replace("<tool_call>", ""),
    "passage": lambda answer: "not " + answer,
}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))


@pytest.fixture(params=list(tasks.TASKS))
def task(request):
    return request.param


def test_equal_seeds_make_equal_exercises(task):
    first = [tasks.make(task, random.Random(3)) for _ in range(2)]
    assert first[0] == first[1]


def test_check_accepts_the_right_answer_and_refuses_wrong_ones(task):
    rng = random.Random(5)
    for _ in range(100):
        answer = tasks.make(task, rng).answer
        assert tasks.check(task, f" {answer}\n", answer)
        assert not tasks.check(task, WRONG[task](answer), answer)
        assert not tasks.check(task, "", answer)


def test_held_out_exercises_are_never_trained_on(task):
    rng = random.Random(7)
    held_out = {tasks.make(task, rng).key for _ in range(100)}
    trained = {tasks.make(task, rng, split="train").key for _ in range(1000)}
    assert not held_out & trained


def test_unseen_wordings_are_never_trained_on():
    rng = random.Random(11)
    assert "What's 12 plus" not in str([tasks.make("add", rng, split="train") for _ in range(2000)])
    assert any("What's" in str(tasks.make("add", rng, unseen=True)) for _ in range(50))


def test_arithmetic_is_right_and_may_be_answered_by_the_result_alone():
    rng = random.Random(13)
    for task, sign in (("add", 1), ("subtract", -1)):
        for _ in range(200):
            a, _, b, _, result = tasks.make(task, rng).answer.split()
            assert int(a) + sign * int(b) == int(result)
            assert tasks.check(task, result, f"{a} {'+-'[sign < 0]} {b} = {result}")


def test_sorted_answers_are_sorted():
    rng = random.Random(17)
    for _ in range(100):
        items = tasks.make("sort", rng).answer.replace(",", "").split()
        assert items == sorted(items)


def test_a_tool_call_names_a_given_tool_and_all_its_parameters():
    rng = random.Random(19)
    for _ in range(100):
        example = tasks.make("tool_call", rng)
        call = json.loads(example.answer.split("\n")[1])
        given = {tool["function"]["name"]: tool["function"] for tool in example.tools}
        assert list(call["arguments"]) == list(given[call["name"]]["parameters"]["properties"])


def test_the_demo_asks_one_held_out_question_of_each_task():
    prompts = json.loads((ROOT / "examples/nano/prompts.json").read_text(encoding="utf-8"))
    assert [prompt["task"] for prompt in prompts] == list(tasks.TASKS)
    assert all(tasks.check(p["task"], p["answer"], p["answer"]) for p in prompts)


@pytest.mark.parametrize("text", UNICODE)
def test_any_text_comes_back_from_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_digits_are_tokens_of_their_own(tokenizer):
    assert tokenizer.encode("a 4711").tokens[-4:] == ["4", "7", "1", "1"]


def test_training_text_is_what_the_chat_template_writes(tokenizer):
    config = json.loads((CHECKPOINT / "tokenizer_config.json").read_text(encoding="utf-8"))
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    template = environment.from_string(config["chat_template"])
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "tool", "content": "42"},
    ]
    example = tasks.make("tool_call", random.Random(23))
    for chat in (messages, messages[1:]):
        for tools in (None, example.tools):
            pieces = [text for text, _ in segments(chat, tools)]
            written = template.render(messages=chat, tools=tools)
            assert written == "".join(pieces)
            tokens = [token for text in pieces for token in tokenizer.encode(text).ids]
            assert tokenizer.encode(written).ids == tokens


def test_only_replies_are_trained_on():
    pieces = Conversation(random.Random(29), tool_share=1.0).next_turn()
    replies = [text for text, is_reply in pieces if is_reply]
    assert replies
    assert all(text.endswith("<|im_end|>") for text in replies)


def test_the_checkpoint_is_at_most_12_mb():
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) <= 12_000_000
