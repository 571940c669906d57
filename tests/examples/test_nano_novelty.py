"""Unfamiliar words change an exercise, never whether its answer is right."""

import json
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from examples.nano import tasks, words
from examples.nano.novelty import disguise, rename, unfamiliar_word
from examples.nano.toolbox import TOOLBOX, made_up_tool

NUM_EXERCISES = 200


def disguised(task):
    """Pairs of an exercise and its disguised request and answer."""
    rng = random.Random(31)
    for _ in range(NUM_EXERCISES):
        example = tasks.make(task, rng, split="train")
        request = example.messages[0]["content"]
        yield example, *disguise(task, (request, example.answer), rng)


@pytest.mark.parametrize("task", ["copy", "reverse", "sort", "extract", "tool_call", "passage"])
def test_most_exercises_change_together_with_their_answer(task):
    changed = sum(answer != example.answer for example, _, answer in disguised(task))
    assert changed > NUM_EXERCISES / 4


@pytest.mark.parametrize("task", ["copy", "reverse", "passage"])
def test_every_word_of_an_answer_stands_in_its_request(task):
    for _, request, answer in disguised(task):
        assert all(word.strip(",") in request for word in answer.split())


def test_sorted_answers_stay_sorted():
    for _, _, answer in disguised("sort"):
        items = answer.replace(",", "").lower().split()
        assert items == sorted(items)


@pytest.mark.parametrize("task", ["add", "subtract"])
def test_sums_are_left_alone(task):
    assert all(answer == example.answer for example, _, answer in disguised(task))


def test_fields_keep_their_names():
    for example, _, answer in disguised("extract"):
        assert list(json.loads(answer)) == list(json.loads(example.answer))


def test_tool_calls_keep_tool_and_parameters():
    for example, _, answer in disguised("tool_call"):
        before, after = (json.loads(text.split("\n")[1]) for text in (example.answer, answer))
        assert before["name"] == after["name"]
        assert list(before["arguments"]) == list(after["arguments"])
        assert answer.startswith("<tool_call>\n")


def test_a_renamed_tool_can_be_asked_for_in_the_same_words():
    rng = random.Random(37)
    for spec in (*TOOLBOX, made_up_tool(rng)):
        renamed = rename(spec, rng)
        assert list(renamed.parameters.values()) == list(spec.parameters.values())
        for request in renamed.requests:
            assert request.format(**dict.fromkeys(renamed.parameters, "x"))


def test_unfamiliar_words_are_never_drawn_by_a_task():
    rng = random.Random(41)
    assert not {unfamiliar_word(rng) for _ in range(5000)} & {*words.WORDS, *words.FIRST_NAMES}
