from functools import cache

import pytest
import torch
from region_kernels import regions_of, relative_error
from region_texts import GATED, LINEAR

from tapeout.codegen.packing import pack_rows16

TOLERANCE = {"f32": 2e-6, "bf16": 4e-3}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def random(dtype, *shape):
    return (torch.randn(*shape) / shape[-1] ** 0.5).to(DTYPES[dtype])


def operands(dtype, tokens, n, k):
    torch.manual_seed(tokens + n + k)
    return [
        random(dtype, tokens, k) * k**0.5,
        random(dtype, n, k),
        random(dtype, n),
        random(dtype, tokens, n),
    ]


def packed(arguments):
    return [arguments[0], pack_rows16(arguments[1]), *arguments[2:]]


SIZES = [(48, 64), (50, 33), (7, 2), (515, 160), (130, 2100)]
LONG = [(50, 160), (50, 2100)]
GATE = (90, 70)


@cache
def regions(level, dtype):
    """The product of each size, and the gated one, compiled together."""
    texts = {(n, k): LINEAR.format(d=dtype, n=n, k=k) for n, k in (*SIZES, *LONG)}
    texts["gated"] = GATED.format(d=dtype, n=GATE[0], k=GATE[1])
    return dict(zip(texts, regions_of(texts.values(), level), strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_a_product_with_bias_and_residual_is_that_of_the_interpreter(level, dtype, n, k):
    region = regions(level, dtype)[n, k]
    for tokens in (1, 2, 5, 13, 40, 97, 200):
        arguments = operands(dtype, tokens, n, k)
        [found] = region.run(packed(arguments), {"T": tokens}, num_threads=2)
        [wanted] = region.reference(arguments, {"T": tokens})
        assert relative_error(found, wanted) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gated_product_is_that_of_the_interpreter(level, dtype):
    (n, k), region = GATE, regions(level, dtype)["gated"]
    for tokens in (1, 6, 101):
        x, w, _, _ = operands(dtype, tokens, n, k)
        v = random(dtype, n, k)
        [found] = region.run([x, pack_rows16(w), pack_rows16(v)], {"T": tokens}, num_threads=2)
        [wanted] = region.reference([x, w, v], {"T": tokens})
        assert relative_error(found, wanted) <= 2 * TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k"), LONG)
def test_a_row_is_bitwise_equal_for_every_number_of_rows_and_threads(level, dtype, n, k):
    most, region = 200, regions(level, dtype)[n, k]
    x, w, b, r = packed(operands(dtype, most, n, k))
    [whole] = region.run([x, w, b, r], {"T": most}, num_threads=2)
    for tokens in (1, 2, 3, 4, 7, 8, 12, 13, 33, 96, 97):
        for threads in (1, 2):
            [part] = region.run([x, w, b, r], {"T": tokens}, num_threads=threads)
            assert torch.equal(part, whole[:tokens])
