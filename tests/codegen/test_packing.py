import pytest
import torch

from tapeout.codegen.packing import pack_rows16, unpack_rows16


@pytest.mark.parametrize(("dtype", "pair"), [(torch.float32, 1), (torch.bfloat16, 2)])
@pytest.mark.parametrize(("n", "k"), [(16, 4), (17, 3), (1, 1), (50, 33)])
def test_a_packed_matrix_holds_every_element_and_zeros_in_the_margins(dtype, pair, n, k):
    x = torch.arange(1, n * k + 1).reshape(n, k).to(dtype)
    packed = pack_rows16(x)
    blocks, steps = -(-n // 16), -(-k // pair)
    assert packed.shape == (blocks, steps, 16, pair) and packed.is_contiguous()
    unpacked = packed.permute(0, 2, 1, 3).reshape(blocks * 16, steps * pair)
    assert torch.equal(unpacked[:n, :k], x)
    assert unpacked[n:].count_nonzero() == unpacked[:, k:].count_nonzero() == 0


def test_each_matrix_of_a_stack_is_packed_alone():
    x = torch.randn(3, 2, 20, 6)
    assert torch.equal(pack_rows16(x)[2, 1], pack_rows16(x[2, 1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 4), (17, 3), (1, 1), (3, 50, 33)])
def test_unpacking_gives_back_what_was_packed(dtype, shape):
    x = torch.randn(shape).to(dtype)
    assert torch.equal(unpack_rows16(pack_rows16(x), shape), x)


def test_unpacking_joins_halves_that_were_packed_alone():
    x = torch.randn(3, 2 * 20, 6)
    packed = pack_rows16(x.reshape(3, 2, 20, 6))
    assert torch.equal(unpack_rows16(packed, (3, 40, 6)), x)
