import pytest
import torch

from tapeout.codegen.pages import PAGE_SIZE_TOKENS, PageLayout
from tapeout.ir.types import DType


@pytest.mark.parametrize("dtype", [DType.F32, DType.BF16])
@pytest.mark.parametrize("is_packed", [True, False])
def test_a_page_has_each_element_of_each_token_once(dtype, is_packed):
    layout = PageLayout(num_heads=3, key_dim=8, value_dim=4, dtype=dtype, is_packed=is_packed)
    page = torch.arange(layout.num_elements)
    keys, values = layout.tokens(page[None])
    assert keys.flatten(3).shape == (1, PAGE_SIZE_TOKENS, 3, 8)
    assert values.shape == (1, PAGE_SIZE_TOKENS, 3, 4)
    assert torch.equal(torch.cat([keys.flatten(), values.flatten()]).sort().values, page)
    assert keys.max() < values.min()


def test_keys_for_cpus_lie_as_a_packed_matrix():
    """As codegen/cpp/kit/attention.h has it: element d of token t of a head."""
    for dtype, pair in ((DType.F32, 1), (DType.BF16, 2)):
        layout = PageLayout(num_heads=2, key_dim=6, value_dim=6, dtype=dtype, is_packed=True)
        keys, _ = layout.tokens(torch.arange(layout.num_elements)[None])
        head, d, t = 1, 5, 7
        place = head * 6 * 16 + (d // pair * 16 + t) * pair + d % pair
        assert int(keys[0, t, head].flatten()[d]) == place
