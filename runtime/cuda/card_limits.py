"""What cards can do, by their data sheets: the roofs that kernels are held against."""

from typing import NamedTuple

from ...errors import InputError
from ..device_limits import DeviceLimits

_GIB = 1 << 30


class Card(NamedTuple):
    """A card that can be named without being here."""

    device_name: str  # that its driver gives, or how that begins
    target: str  # that is compiled for it
    memory_bytes: int  # that the driver has to lend, all in all: a little less than is advertised
    limits: DeviceLimits


def _card(
    device_name: str,
    target: str,
    memory_gib: float,
    num_multiprocessors: int,
    bytes_per_s: float,
    flops_per_s: float,
    f32_flops_per_s: float,
) -> Card:
    by_dtype = {"bf16": flops_per_s, "f16": flops_per_s, "f32": f32_flops_per_s}
    limits = DeviceLimits(bytes_per_s, by_dtype, num_multiprocessors)
    return Card(device_name, target, int(memory_gib * _GIB), limits)


CARDS = {
    "a100": _card("NVIDIA A100-SXM4-80GB", "cuda:sm_80", 79.1, 108, 2.039e12, 312e12, 19.5e12),
    "l4": _card("NVIDIA L4", "cuda:sm_89", 22.0, 58, 0.3e12, 121e12, 30.3e12),
    "l40s": _card("NVIDIA L40S", "cuda:sm_89", 44.4, 142, 0.864e12, 362e12, 91.6e12),
    "rtx4090": _card("NVIDIA GeForce RTX 4090", "cuda:sm_89", 23.5, 128, 1.008e12, 165e12, 82.6e12),
    "h100-pcie": _card("NVIDIA H100 PCIe", "cuda:sm_90", 79.1, 114, 2.0e12, 756e12, 51e12),
    "h100": _card("NVIDIA H100 80GB HBM3", "cuda:sm_90", 79.1, 132, 3.35e12, 989e12, 67e12),
    "h200": _card("NVIDIA H200", "cuda:sm_90", 139.8, 132, 4.8e12, 989e12, 67e12),
    "b200": _card("NVIDIA B200", "cuda:sm_100", 178.0, 148, 8.0e12, 2250e12, 75e12),
    "rtx5090": _card("NVIDIA GeForce RTX 5090", "cuda:sm_120", 31.3, 170, 1.792e12, 210e12, 105e12),
    "mi300x": _card("AMD Instinct MI300X", "hip:gfx942", 191.5, 304, 5.3e12, 1307e12, 163e12),
}
"""By the word that `tapeout plan --device` takes; products of 16 bits in tensor units, added up in
f32, without sparsity."""


def limits_of(device_name: str) -> DeviceLimits | None:
    """A device's limits by the name that its driver gives; None for one that is not known."""
    found = [card for card in CARDS.values() if device_name.startswith(card.device_name)]
    return max(found, key=lambda card: len(card.device_name)).limits if found else None


def card_of(word: str) -> Card:
    """A card by its word in `CARDS`. Raises InputError naming those that there are."""
    if word not in CARDS:
        raise InputError(f"device={word!r} is not known; name one of {', '.join(CARDS)}")
    return CARDS[word]
