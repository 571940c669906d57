from xml.etree import ElementTree

import pytest
from fake_space import USUAL, key_of

from tapeout.artifact.tuning_table import Entry
from tapeout.tuning.plot import render_plot

SVG = "{http://www.w3.org/2000/svg}"


def entry(name, before_s, time_s, least_s):
    return Entry(
        key=key_of(name),
        configuration=USUAL,
        time_s=time_s,
        before_s=before_s,
        least_s=least_s,
    )


ENTRIES = [
    entry("linear", 4e-6, 2e-6, 1e-6),
    entry("linear <&> mul", 3e-5, 2e-5, 1.9e-5),
    entry("unknown", 3e-5, 2e-5, None),
]


def dots(svg):
    tree = ElementTree.fromstring(svg)
    circles = [
        circle for circle in tree.iter(f"{SVG}circle") if circle.find(f"{SVG}title") is not None
    ]
    return [(float(c.get("cx")), float(c.get("cy")), c.find(f"{SVG}title").text) for c in circles]


def test_each_entry_with_a_roofline_has_a_dot_before_and_one_after():
    found = dots(render_plot(ENTRIES, "model on <a card>"))
    assert [title for *_, title in found] == [
        *["linear 64x64 rows1: 2.00x"] * 2,
        *["linear <&> mul 64x64 rows1: 1.50x"] * 2,
    ]
    (before_x, before_y, _), (after_x, after_y, _) = found[:2]
    assert after_x < before_x and after_y < before_y, "faster is to the left, and higher"


@pytest.mark.parametrize("share", [0.001, 1.0, 1.9, 12.0, 99.0])
def test_every_dot_lies_within_the_picture(share):
    svg = render_plot([entry("linear", 5e-3, 4e-3, 4e-3 * share)], "model")
    assert all(64 <= x <= 736 and 56 <= y <= 428 for x, y, _ in dots(svg))


def test_with_nothing_found_there_is_still_a_picture():
    assert dots(render_plot([], "model")) == []
