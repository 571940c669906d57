from tapeout.codegen.triton.elements import loads_first

LINES = [
    "v1 = tl.load(p_x + row)",
    "v2 = tl.sum(v1)",
    "v3 = tl.load(p_places + row)",
    "v4 = tl.load(p_x + v3)",
    "v5 = tl.load(p_x + v2)",
    "for j in tl.static_range(2):",
    "    which2 = tl.load(p_x + j)",
    "v6 = tl.load(p_x + which2)",
    "tl.store(o_y, v6, mask=v1 == v2)",
]


def test_loads_come_first_but_for_those_that_depend_on_what_is_computed_or_are_in_a_loop():
    loads, others = loads_first(LINES)
    assert [line[:2] for line in loads] == ["v1", "v3", "v4"]
    assert others == [line for line in LINES if line not in loads]
