"""Kernels of regions on a GPU in the place of Triton's interpreter."""

import importlib.util

import pytest
import torch
import triton_regions


@pytest.fixture
def on_gpu(monkeypatch, tmp_path):
    """Kernels are run by the machine, not by Triton's interpreter."""
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    loaded = {}

    def launch(kernel, buffers, scalars, grid):
        source = kernel.source_as("kernel")
        function = loaded.setdefault(source, None) or _load(source, tmp_path / f"{len(loaded)}.py")
        loaded[source] = function
        typed = [
            x.view(triton_regions._DTYPES[t]) for x, t in zip(buffers, kernel.types, strict=True)
        ]
        there = [x.cuda() for x in typed]
        taken = [*there]
        for box in kernel.boxes if kernel.is_gluon else ():
            taken[box.buffer] = _tensor_map(there[box.buffer], box)
        options = {"num_warps": kernel.num_warps, "num_stages": kernel.num_stages}
        function[tuple(grid)](*taken, *scalars, **options)
        for here, new in zip(typed, there, strict=True):
            here.copy_(new)

    monkeypatch.setattr(triton_regions, "_interpret", launch)


def _tensor_map(tensor, box):
    """What the player makes of a buffer that is read in boxes."""
    from triton.experimental.gluon.language import NVMMASharedLayout
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

    layout = NVMMASharedLayout(128, 16, rank=2)
    matrix = tensor.view(-1, box.width)
    return TensorDescriptor.from_tensor(matrix, [box.rows, box.columns], layout)


def _load(source, path):
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.kernel
