import msgspec
import numpy as np
import pytest

from tapeout.errors import InputError
from tapeout.runtime.frame import Edits, Sampling
from tapeout.runtime.grammars.base import GrammarError
from tapeout.runtime.grammars.constraint import Constraint, check_beginning
from tapeout.runtime.request import Cancel, Mask, Request

VOCAB, EOS = 70, 0
BAN = float("-inf")


def mask_of(token_ids):
    bits = np.zeros(96, np.bool_)
    bits[list(token_ids)] = True
    return np.packbits(bits, bitorder="little").view(np.int32)


def ids_of(mask):
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()


class OneOf:
    """Allows any of some sequences of tokens, each ended by EOS."""

    def __init__(self, *sequences):
        self.sequences, self.said = sequences, []

    def start(self):
        return OneOf(*self.sequences)

    @property
    def is_complete(self):
        return self.said in [list(s) for s in self.sequences] or self.said[-1:] == [EOS]

    def allowed(self):
        count = len(self.said)
        whole = [[*s, EOS] for s in self.sequences]
        return mask_of({s[count] for s in whole if s[:count] == self.said and len(s) > count})

    def advance(self, token_id):
        if token_id not in ids_of(self.allowed()):
            raise GrammarError(f"{token_id} is not allowed")
        self.said.append(token_id)


def request_of(*edits, allowed=None):
    sampling = {}
    if edits:
        prefixes = [edit[2] for edit in edits]
        sampling["edits"] = Edits(
            token_ids=np.array([edit[0] for edit in edits], np.int32),
            values=np.full(len(edits), BAN, np.float32),
            ends=np.array([edit[1] for edit in edits], np.int32),
            prefix_starts=np.cumsum([0, *map(len, prefixes)], dtype=np.int32),
            prefix_tokens=np.array([t for p in prefixes for t in p], np.int32),
        )
    prompt = np.array([9, 9], np.int32)
    return Request(
        request_id="a",
        prompt_token_ids=prompt,
        max_tokens=9,
        sampling=Sampling(**sampling),
        stop_token_ids=(EOS,),
        allowed=allowed,
    )


def held(grammar, request):
    constraint = Constraint(grammar.start(), request, [EOS])
    first = constraint.first()
    assert (first.request_id, first.num_tokens) == ("a", 0)
    return ids_of(first.mask), constraint


def test_each_token_brings_the_mask_for_the_next_and_the_end_forces_eos():
    first, constraint = held(OneOf([5, 6], [5, 65]), request_of())
    assert first == [5]
    masks = [constraint.push(5), constraint.push(65)]
    assert [type(mask) for mask in masks] == [Mask, Mask]
    assert [(m.request_id, m.num_tokens, ids_of(m.mask)) for m in masks] == [
        ("a", 1, [6, 65]),
        ("a", 2, [EOS]),
    ]
    assert constraint.push(EOS) == Cancel("a", "stop")


def test_outputs_follow_one_grammar_each_for_itself():
    grammar = OneOf([5, 6], [7, 8])
    (_, one), (_, other) = held(grammar, request_of()), held(grammar, request_of())
    assert ids_of(one.push(5).mask) == [6] and ids_of(other.push(7).mask) == [8]


def test_the_tokens_that_a_request_allows_bound_the_grammars():
    first, constraint = held(OneOf([5, 6], [7, 8]), request_of(allowed=mask_of([5, 8, 9])))
    assert first == [5]
    assert constraint.push(5) == Cancel("a", "grammar_error")


def test_where_eos_is_ignored_the_end_of_the_grammar_ends_the_request():
    request = msgspec.structs.replace(request_of(), stop_token_ids=())
    _, constraint = held(OneOf([5]), request)
    assert constraint.push(5) == Cancel("a", "stop")


def test_a_grammar_that_ends_before_min_tokens_ends_the_request():
    until_ten = request_of((EOS, 10, ()))
    _, constraint = held(OneOf([5], [5, 6]), until_ten)
    assert ids_of(constraint.push(5).mask) == [6]
    assert constraint.push(6) == Cancel("a", "stop")


def test_a_ban_that_has_passed_bans_nothing():
    _, constraint = held(OneOf([5]), request_of((EOS, 3, ())))
    assert ids_of(constraint.push(5).mask) == [EOS]


def test_bad_words_that_leave_no_token_end_the_request_by_an_error():
    _, constraint = held(OneOf([5, 6], [5, 7]), request_of((6, 99, (5,)), (7, 99, (9, 9, 5))))
    assert constraint.push(5) == Cancel("a", "grammar_error")
    _, constraint = held(OneOf([5, 6], [5, 7]), request_of((6, 99, (5,)), (7, 99, (8, 5))))
    assert ids_of(constraint.push(5).mask) == [7]


def test_a_grammar_that_allows_nothing_at_all_is_refused():
    banned = request_of((5, 99, ()))
    assert Constraint(OneOf([5]), banned, [EOS]).first() == Cancel("a", "grammar_error")
    with pytest.raises(InputError, match="leaves no token to begin with"):
        check_beginning(OneOf([5]), banned, [EOS])
    check_beginning(OneOf([5]), request_of(), [EOS])


def test_a_token_that_the_grammar_does_not_allow_ends_that_request_alone(caplog):
    _, constraint = held(OneOf([5]), request_of())
    assert constraint.push(6) == Cancel("a", "grammar_error")
    assert "6 is not allowed" in caplog.text


def test_a_grammar_that_is_too_much_from_the_start_is_refused():
    class Endless(OneOf):
        def allowed(self):
            raise GrammarError("too many states")

        def start(self):
            return self

    with pytest.raises(InputError, match="asks for too much: too many states"):
        check_beginning(Endless(), request_of(), [EOS])
