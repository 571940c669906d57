"""What cards can do, by their data sheets: the roofs that kernels are held against."""

from typing import NamedTuple


class CardLimits(NamedTuple):
    """The most of a card, by its data sheet."""

    bytes_per_s: float  # of its memory
    flops_per_s: dict[str, float]  # by dtype; of 16 bits in tensor units, without sparsity


def _card(bytes_per_s: float, flops_per_s: float, f32_flops_per_s: float) -> CardLimits:
    by_dtype = {"bf16": flops_per_s, "f16": flops_per_s, "f32": f32_flops_per_s}
    return CardLimits(bytes_per_s, by_dtype)


_CARDS = {  # the first whose name begins a device's
    "NVIDIA A100-SXM4-80GB": _card(2.039e12, 312e12, 19.5e12),
    "NVIDIA H100 PCIe": _card(2.0e12, 756e12, 51e12),
    "NVIDIA H100 80GB HBM3": _card(3.35e12, 989e12, 67e12),
    "NVIDIA H200": _card(4.8e12, 989e12, 67e12),
}


def limits_of(device_name: str) -> CardLimits | None:
    """A device's limits by the name that its driver gives; None for one that is not known."""
    found = (limits for name, limits in _CARDS.items() if device_name.startswith(name))
    return next(found, None)
