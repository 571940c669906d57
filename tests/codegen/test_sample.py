import torch
from region_kernels import Region, usable_levels

TEXT = """
func @draw(%logits: f32[R, 515], %temperature: f32[R], %seeds: i64[R], %positions: i64[R])
    {anchor = "sample"} {
  %tokens: i32[R] = sample(%logits, %temperature, %seeds, %positions)
  return %tokens
}"""
ROWS = 64


def arguments(temperature, rows=ROWS):
    torch.manual_seed(1)
    logits, seeds = 3 * torch.randn(rows, 515), torch.randint(-(2**62), 2**62, (rows,))
    return [logits, torch.full((rows,), temperature), seeds, torch.arange(rows) * 3]


def draw(region, operands):
    return region.run(operands, {"R": len(operands[0])}, num_threads=2)[0].tolist()


def test_greedy_rows_take_the_largest_and_the_lowest_place_of_equals(level):
    operands = arguments(0.0)
    operands[0][5, 100] = operands[0][5, 400] = 99.0
    tokens = draw(Region(TEXT, level), operands)
    assert tokens == operands[0].argmax(-1).tolist() and tokens[5] == 100


def test_a_draw_is_that_of_the_interpreter(level):
    region, operands = Region(TEXT, level), arguments(0.8)
    assert draw(region, operands) == region.reference(operands, {"R": ROWS})[0].tolist()


def test_a_draw_depends_on_seed_and_position_and_on_nothing_else():
    region, operands = Region(TEXT, usable_levels()[0]), arguments(1.3)
    whole = draw(region, operands)
    alone = [draw(region, [x[i : i + 1].clone() for x in operands])[0] for i in range(8)]
    assert alone == whole[:8]
    operands[3] = operands[3] + 1
    assert draw(region, operands) != whole


def test_draws_follow_the_softmax_of_the_logits():
    rows = 4000
    logits = torch.full((rows, 515), float("-inf"))
    logits[:, [3, 300, 514]] = torch.tensor([0.5, 0.3, 0.2]).log()
    operands = [logits, torch.ones(rows), torch.zeros(rows).long(), torch.arange(rows)]
    tokens = torch.tensor(draw(Region(TEXT, usable_levels()[0]), operands))
    shares = [float((tokens == place).float().mean()) for place in (3, 300, 514)]
    assert abs(shares[0] - 0.5) < 0.03 and abs(shares[2] - 0.2) < 0.03


def test_a_row_with_a_nan_or_nothing_finite_gives_minus_one():
    operands = arguments(0.0, 3)
    operands[0][0, 77] = float("nan")
    operands[0][1] = float("-inf")
    assert draw(Region(TEXT, usable_levels()[0]), operands)[:2] == [-1, -1]
