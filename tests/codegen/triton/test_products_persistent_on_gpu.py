"""The machine code of products by blocks that stay is their definition."""

import pytest
import torch
from persistent_products import ANY, TEXTS, arguments_of, text_of
from region_kernels import relative_error
from triton_regions import TritonRegion

from tapeout.codegen.triton.choice import fields_of
from tapeout.codegen.triton.persistent_tiles import PERSISTENT_FORMS

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("on_gpu")]


@pytest.mark.parametrize("form", PERSISTENT_FORMS, ids=str)
@pytest.mark.parametrize("name", TEXTS)
def test_a_product_by_blocks_that_stay_is_that_of_the_interpreter(name, form):
    torch.manual_seed(0)
    region = TritonRegion(text_of(name, 768, 1152), ANY, fields_of(form))
    assert region.emitted.kernels[0].is_gluon
    for tokens in (1, 1025, 2048, 3000):
        arguments = arguments_of(region.function, tokens)
        found = region.run(arguments, {"T": tokens})
        wanted = region.reference(arguments, {"T": tokens})
        for one, other in zip(found, wanted, strict=True):
            assert relative_error(one, other) <= 8e-3, tokens
