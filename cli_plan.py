"""`tapeout plan`: what a model will take of memory and time, before anything is built or loaded."""

from pathlib import Path
from typing import Any

import click

from .cli_limits import count, share
from .errors import InputError, TapeoutError
from .runtime.limits import default_of

_CONTEXT = "Tokens before those of a decode step, as often as wanted."
_SHARE = "The share of a GPU's memory that is taken."
_TARGET = "cpu, or a GPU: cuda:sm_90, ...; as often as there are to compare."
_SEQS = f"Sequences at a time. Default: {default_of('max_num_seqs')}."
_TOKENS = f"Tokens of a step. Default: {default_of('max_num_batched_tokens')}."
_DEVICE = "A GPU by its name, as often as there are to compare: h100, h200, ..."


@click.command("plan")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", "targets", multiple=True, help=_TARGET)
@click.option("--device", "devices", multiple=True, help=_DEVICE)
@click.option("--dtype", default="auto", help="auto, bfloat16 or float32.")
@click.option("--quantize", "quantization", help="A quantization scheme.")
@click.option("--tensor-parallel-size", default=1, show_default=True)
@click.option("--batch-invariant", is_flag=True, help="A request has the same bits in any batch.")
@click.option("--max-model-len", type=count, help="Tokens of a sequence.")
@click.option("--max-num-seqs", type=count, help=_SEQS)
@click.option("--max-num-batched-tokens", type=count, help=_TOKENS)
@click.option("--kv-cache-bytes", type=count, help="For keys and values.")
@click.option("--gpu-memory-utilization", type=share, help=_SHARE)
@click.option("--gpu-memory-bytes", type=int, help="What the GPU has, whatever its name says.")
@click.option("--cpu-bytes-per-s", type=float, help="That the CPU reads. Default: it is measured.")
@click.option("--context", "contexts", type=int, multiple=True, default=(128, 2048), help=_CONTEXT)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan_command(
    model: Path,
    targets: tuple[str, ...],
    devices: tuple[str, ...],
    gpu_memory_bytes: int | None,
    cpu_bytes_per_s: float | None,
    contexts: tuple[int, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Say what MODEL, an artifact or a checkpoint, will take; nothing is built or loaded.

    Without --target it is planned for the devices that are named, or all that an artifact has.
    """
    from msgspec.json import encode

    from .runtime.describe import describe_model
    from .runtime.limits import Limits
    from .runtime.plan_devices import check_asked, choose_devices, targets_of
    from .runtime.plan_report import plan_target
    from .runtime.plan_text import plans_text

    check_asked(gpu_memory_bytes, cpu_bytes_per_s, contexts)
    asked = Limits.among(options)
    options = {k: value for k, value in options.items() if k not in Limits.__struct_fields__}
    facts, described = describe_model(model, targets or targets_of(devices), **options)
    chosen = choose_devices([*described], devices, gpu_memory_bytes, cpu_bytes_per_s)
    plans, errors = [], []
    for target, device in chosen:
        try:
            plans.append(plan_target(target, facts, described[target], device, asked, contexts))
        except TapeoutError as error:
            errors.append(f"{target} on {device.name}: {error}")
    if as_json:
        click.echo(encode({"model": facts, "plans": plans, "errors": errors}).decode())
    elif plans:
        click.echo(f"{facts.architecture} in {facts.dtype}\n")
        click.echo(plans_text(plans))
    if errors:
        raise InputError("; ".join(errors))
