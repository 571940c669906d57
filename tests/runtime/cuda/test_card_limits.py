import pytest

from tapeout.codegen.triton.targets import TARGETS
from tapeout.errors import InputError
from tapeout.runtime.cuda.card_limits import CARDS, card_of, limits_of


@pytest.mark.parametrize("word", CARDS)
def test_a_card_is_known_by_what_its_driver_says(word):
    card = card_of(word)
    assert limits_of(card.device_name) == card.limits and card.target in TARGETS


def test_a_driver_may_say_more_than_the_cards_name():
    assert limits_of("NVIDIA H200 141GB HBM3e") == CARDS["h200"].limits
    assert limits_of("NVIDIA L40S") == CARDS["l40s"].limits
    assert limits_of("a toy") is None


def test_a_card_that_is_not_known_is_refused_by_name():
    with pytest.raises(InputError, match="device='h300' is not known; name one of a100, "):
        card_of("h300")
