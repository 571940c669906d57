"""The instruction-set levels that this CPU runs."""

import pytest
from region_kernels import LEVELS, usable_levels


@pytest.fixture(params=LEVELS)
def level(request):
    """Each level in turn; those the CPU lacks are skipped."""
    if request.param not in usable_levels():
        pytest.skip(f"this CPU does not run {request.param}")
    return request.param
