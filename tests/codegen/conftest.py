"""The instruction-set levels that this CPU runs."""

import pytest
from cpu import native_levels
from region_kernels import LEVELS, usable_levels


@pytest.fixture(params=LEVELS)
def level(request):
    """Each level in turn; those the CPU lacks are skipped."""
    if request.param not in usable_levels():
        pytest.skip(f"this CPU does not run {request.param}")
    return request.param


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """In f32, AVX-512 has one code with products of bf16 and without: one of the two is slow."""
    if "x86-64-v4-bf16" not in native_levels():
        return
    for item in items:
        of = item.callspec.params if hasattr(item, "callspec") else {}
        if of.get("level") == "x86-64-v4" and of.get("dtype") == "f32":
            item.add_marker(pytest.mark.slow)
