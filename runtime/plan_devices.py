"""Which device each target of a plan is for: a card by its name, memory as told, this machine."""

from collections.abc import Iterator, Mapping, Sequence

from ..errors import InputError
from .checks import check_number, check_whole
from .cpu_limits import measure_cpu
from .cuda.card_limits import CARDS, Card, card_of
from .device_limits import DeviceLimits
from .executor import TARGET as CPU
from .plan_report import Device

_MOST, _MOST_TOKENS = 1e18, 1 << 24

Chosen = tuple[str, Device]
"""A target, and what it runs on."""


def targets_of(words: Sequence[str]) -> tuple[str, ...]:
    """The targets that devices run."""
    return tuple(dict.fromkeys(card_of(word).target for word in words))


def check_asked(
    memory_bytes: int | None, cpu_bytes_per_s: float | None, contexts: Sequence[int]
) -> None:
    """Refuses numbers that cannot be, before a model is traced. Raises InputError."""
    numbers = {"gpu_memory_bytes": memory_bytes, "cpu_bytes_per_s": cpu_bytes_per_s}
    for name, number in numbers.items():
        if number is not None:
            check_number(name, number, 0, _MOST, is_open=True)
    for context in contexts:
        check_whole("context", context, 0, _MOST_TOKENS)


def choose_devices(
    targets: Sequence[str],
    words: Sequence[str],
    memory_bytes: int | None,
    cpu_bytes_per_s: float | None,
) -> list[Chosen]:
    """Each target with each device of `words` that it is for.

    `memory_bytes` is what a GPU has, whatever its card says; `cpu_bytes_per_s` what the CPU reads,
    instead of a measurement. Raises InputError for a target or a device that is left alone.
    """
    cards = {word: card_of(word) for word in words}
    for word, card in cards.items():
        if card.target not in targets:
            raise InputError(
                f"device={word!r} runs target {card.target}, not {', '.join(targets)}; "
                f"name {card.target}"
            )
    on_gpu = [target for target in targets if target != CPU]
    if memory_bytes is not None and not on_gpu:
        raise InputError(
            f"gpu_memory_bytes={memory_bytes} is for a target on a GPU, not for "
            f"{', '.join(targets)}; leave it out"
        )
    found: list[Chosen] = []
    for target in targets:
        if target == CPU:
            found.append((CPU, _cpu(cpu_bytes_per_s)))
        else:
            own = {word: card for word, card in cards.items() if card.target == target}
            found += [(target, device) for device in _gpus(target, own, memory_bytes)]
    return found


def _gpus(target: str, cards: Mapping[str, Card], memory_bytes: int | None) -> Iterator[Device]:
    if not cards and memory_bytes is None:
        known = [word for word, card in CARDS.items() if card.target == target]
        raise InputError(
            f"target={target!r} runs on a GPU whose memory is not told; name the GPU as device "
            f"({', '.join(known) or 'none is known for it'}), or give gpu_memory_bytes"
        )
    for word, card in cards.items():
        limits = card.limits
        yield Device(
            name=word,
            memory_bytes=memory_bytes or card.memory_bytes,
            limits=limits,
            assumed=f"{card.device_name}, {_words(limits)} by its data sheet",
        )
    if not cards:
        yield Device(
            name="a GPU",
            memory_bytes=memory_bytes,
            limits=None,
            assumed="no time is predicted, for its name is not told; name it as device",
        )


def _cpu(bytes_per_s: float | None) -> Device:
    limits = measure_cpu(bytes_per_s)
    told = "as given" if bytes_per_s else "as measured now"
    assumed = f"{_words(limits)}, its memory {told}, products by numpy in f32, 16 bits as fast"
    return Device(name="this machine", memory_bytes=None, limits=limits, assumed=assumed)


def _words(limits: DeviceLimits) -> str:
    tflops = limits.flops_per_s["bf16"] / 1e12
    rate = f"{tflops:,.0f}" if tflops >= 100 else f"{tflops:.3g}"
    return f"{limits.bytes_per_s / 1e9:,.0f} GB/s and {rate} TFLOP/s"
