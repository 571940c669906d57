import pytest

from tapeout import StructuredOutputsParams
from tapeout.errors import InputError

WRONG = {
    "json": [3, True, [1], b"x"],
    "regex": ["", 3, "\ud800", "a" * 300_000],
    "choice": [[], "x", [""], [3], ["a"] * 5000, ["a" * 300_000]],
    "grammar": ["", 3, "a" * 300_000],
    "json_object": [3, "yes"],
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_value_of_another_kind_is_refused_by_name(kind):
    for value in WRONG[kind]:
        with pytest.raises(InputError, match=kind):
            StructuredOutputsParams(**{kind: value})


@pytest.mark.parametrize("fields", [{}, {"json_object": False}, {"regex": "a", "choice": ["b"]}])
def test_exactly_one_constraint_is_given(fields):
    with pytest.raises(InputError, match="give exactly one of json, regex, choice, grammar"):
        StructuredOutputsParams(**fields)


@pytest.mark.parametrize(
    ("field", "value"), [("disable_additional_properties", True), ("structural_tag", "{}")]
)
def test_what_is_not_honoured_is_refused_by_name(field, value):
    with pytest.raises(InputError, match=f"structured_outputs.{field}=.* is not honoured"):
        StructuredOutputsParams(json_object=True, **{field: value})


@pytest.mark.parametrize(
    "fields",
    [{"json": {}}, {"json": "true"}, {"regex": "a"}, {"choice": ["a"]}],
)
def test_the_kind_is_the_one_that_is_set(fields):
    assert StructuredOutputsParams(**fields).kind == next(iter(fields))
