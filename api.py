"""`compile_model`: from a checkpoint to an artifact. This is the only module that joins frontend,
passes and codegen; the runtime imports it by name when a checkpoint must be compiled first."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .artifact import PASSES, Described, Model, encode
from .artifact.beside import check_place
from .artifact.schema import LEAST_POSITIONS, MANIFEST_DIGEST
from .artifact.staging import check_replaceable
from .artifact.tokenizer_file import TOKENIZER, read_tokenizer
from .artifact.tuning_table import Table
from .codegen.build import Progress, build_artifact, describe_target
from .codegen.cpp.toolchain import LEVELS
from .codegen.decisions import record_passes
from .codegen.packing import PACKERS
from .codegen.triton.build import build_gpu_artifact, describe_gpu_target
from .codegen.triton.targets import TARGETS as GPU_TARGETS
from .codegen.tuned_kernels import open_table, tuned_for
from .debug import topic_log
from .errors import CheckpointError, InputError
from .frontend.checkpoint import TensorSource
from .frontend.source import choose_dtype, open_source
from .frontend.special_tokens import special_tokens
from .frontend.trace import trace
from .frontend.weights import stream_weights
from .ir.graph import Module
from .ir.printer import print_function
from .ir.weights import Weight
from .passes.base import Report
from .passes.check import NumericCheck
from .passes.pipeline import stages_of
from .passes.required_fusions import check_fusions, check_names
from .passes.run import dump, run_stages
from .settings import CHECK_PASSES

TARGETS = ("cpu", *GPU_TARGETS)

_UNBOUNDED_POSITIONS = 1 << 20  # for models whose config names no longest context

COPIED_FILES = (
    "config.json",
    "generation_config.json",
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""What an artifact takes over from a checkpoint unchanged, where it is there."""


def compile_model(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    target: str = "cpu",
    *,
    dtype: object = "auto",
    quantization: str | None = None,
    tensor_parallel_size: int = 1,
    batch_invariant: bool = False,
    tuning: str | os.PathLike[str] | None = None,
    load_format: str = "auto",
    seed: int = 0,
    require_fusions: Sequence[str] = (),
    dump_ir: str | os.PathLike[str] | None = None,
    cpu_levels: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Compile the Hugging Face checkpoint folder ``checkpoint`` into an artifact; gives its path.

    ``output`` defaults to ``<checkpoint name>.tapeout`` in the working directory; what is there is
    replaced only when the new artifact is whole. With ``batch_invariant`` a request has the same
    bits alone, in any batch and at any chunking; on a CPU it always has. Kernels are configured as
    the table ``tuning`` says, a file or the name of one that ships. ``load_format="dummy"``
    needs no weights: random ones are drawn from ``seed``. With ``require_fusions`` a model that
    loses one of these is refused. ``dump_ir`` takes the IR after each pass. ``cpu_levels``
    restricts the instruction-set levels that are built.

    Raises InputError, CheckpointError, UnsupportedModelError or BuildError, before anything is
    written except in the last case, which leaves nothing behind.
    """
    _check_options(target, quantization, tensor_parallel_size, cpu_levels)
    check_names(require_fusions, stages_of(target))
    archs = [*LEVELS] if target == "cpu" else [target.split(":")[-1]]
    table = Table() if tuning is None else open_table(tuning, archs)
    folder = _folder(checkpoint)
    path = Path(output) if output is not None else Path(f"{folder.resolve().name}.tapeout")
    _check_files(folder, path.resolve())
    source = open_source(folder, load_format, seed)
    module, reports = lower(source, dtype, target, progress)
    if dump_ir is not None:
        dump(reports, Path(dump_ir))
    check_fusions(reports, require_fusions)

    def stream(weights: Sequence[Weight]) -> Iterator[tuple[str, torch.Tensor]]:
        return stream_weights(weights, source, PACKERS)

    model = describe_model(module, folder, source.config)
    common = (module, model, _tools(), stream, path)
    files = _copied(folder) | {PASSES: encode(record_passes(reports))}
    if target != "cpu":
        return build_gpu_artifact(
            *common,
            target,
            batch_invariant=batch_invariant,
            tuned=tuned_for(table, archs[0]),
            files=files,
            progress=progress,
        )
    return build_artifact(
        *common,
        files=files,
        levels=cpu_levels,
        tuned={level: tuned_for(table, level) for level in archs},
        progress=progress,
    )


def plan_checkpoint(
    checkpoint: str | os.PathLike[str],
    targets: Sequence[str] = ("cpu",),
    *,
    dtype: object = "auto",
    quantization: str | None = None,
    tensor_parallel_size: int = 1,
    batch_invariant: bool = False,
) -> tuple[Model, dict[str, Described]]:
    """What compiling for each target would give, without building anything or reading a weight."""
    for target in targets:
        _check_options(target, quantization, tensor_parallel_size)
    folder = _folder(checkpoint)
    has_weights = any(folder.glob("*.safetensors"))
    source = open_source(folder, "auto" if has_weights else "dummy")
    firsts = {target == "cpu": target for target in targets}  # passes are those of all GPUs
    traced = trace(source, choose_dtype(dtype, source.config))
    modules = {is_cpu: _passed(traced, source, target)[0] for is_cpu, target in firsts.items()}
    model = describe_model(next(iter(modules.values())), folder, source.config)
    return model, {
        target: describe_target(modules[True])
        if target == "cpu"
        else describe_gpu_target(modules[False], target, batch_invariant)
        for target in targets
    }


def lower(
    source: TensorSource,
    dtype: object = "auto",
    target: str = "cpu",
    progress: Progress | None = None,
) -> tuple[Module, list[Report]]:
    """Trace the model and run every pass of the target; gives the module and a report of each pass.

    With TAPEOUT_CHECK_PASSES each pass is compared numerically with the module it was given.
    """
    report = progress or (lambda stage, done, total: None)
    report("trace", 0, 1)
    traced = trace(source, choose_dtype(dtype, source.config))
    report("passes", 0, 1)
    return _passed(traced, source, target)


def _passed(traced: Module, source: TensorSource, target: str) -> tuple[Module, list[Report]]:
    module, reports = run_stages(traced, stages_of(target), _check(source))
    _log(module, reports)
    return module, reports


def _log(module: Module, reports: Sequence[Report]) -> None:
    """Say what the passes did, by the topics passes, ir and kernels."""
    passes, texts, kernels = map(topic_log, ("passes", "ir", "kernels"))
    for report in reports:
        if passes:
            passes("%s/%s: %d rewrites", report.stage, report.name, report.rewrites)
            for miss in report.misses:
                passes("%s/%s left %s", report.stage, report.name, miss)
        if texts and report.rewrites:
            texts("after %s\n%s", report.name, report.module)
    for function in module.functions.values():
        if kernels and "anchor" in function.attrs:
            kernels("%s\n%s", function.attrs["anchor"], print_function(function))


def _check(source: TensorSource) -> Any:
    if not CHECK_PASSES.get():
        return None

    def evaluate(weights: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: t.clone() for name, t in stream_weights(weights.values(), source)}

    return NumericCheck(evaluate)


def _check_options(
    target: str,
    quantization: str | None,
    tensor_parallel_size: int,
    cpu_levels: Sequence[str] | None = None,
) -> None:
    if target not in TARGETS:
        raise InputError(f"target={target!r} is not supported; use {', '.join(TARGETS)}")
    _check_levels(target, cpu_levels)
    if quantization is not None:
        raise InputError(f"quantization={quantization!r} is not supported yet; leave it out")
    if tensor_parallel_size != 1:
        raise InputError(f"tensor_parallel_size={tensor_parallel_size} is not supported yet; use 1")


def _check_levels(target: str, levels: Sequence[str] | None) -> None:
    for level in levels or ():
        if target != "cpu":
            raise InputError(
                f"cpu_levels={level!r} is for target='cpu', not {target!r}; leave it out"
            )
        if level not in LEVELS:
            raise InputError(f"cpu_levels={level!r} is not known; use {', '.join(LEVELS)}")


def _folder(checkpoint: str | os.PathLike[str]) -> Path:
    folder = Path(checkpoint)
    if not folder.is_dir():
        raise InputError(f"{os.fspath(checkpoint)!r} is no folder; give a checkpoint on this disk")
    if (folder / MANIFEST_DIGEST).exists():
        raise InputError(
            f"{folder} is an artifact already; give the checkpoint that it was made of"
        )
    return folder


def describe_model(module: Module, folder: Path, config: Mapping[str, Any]) -> Model:
    """The facts of a model that its artifact carries. Raises CheckpointError."""
    vocab_size = int(module.attrs["vocab_size"])
    eos_token_ids, bos_token_id = special_tokens(folder, config, vocab_size)
    num_positions = int(module.attrs["max_position_embeddings"] or _UNBOUNDED_POSITIONS)
    if num_positions < LEAST_POSITIONS:
        field, wanted = "max_position_embeddings", f"at least {LEAST_POSITIONS}"
        raise CheckpointError(folder / "config.json", field, num_positions, wanted, "correct it")
    weights = module.weights.values()
    floats = [w.type.dtype for w in weights if w.type.dtype.is_float and w.type.rank == 2]
    return Model(
        architecture=str(module.attrs["architecture"]),
        dtype=min(floats, key=lambda d: d.itemsize).value,
        vocab_size=vocab_size,
        max_position_embeddings=num_positions,
        eos_token_ids=eos_token_ids,
        bos_token_id=bos_token_id,
    )


def _check_files(folder: Path, output: Path) -> None:
    """Refuses before the work what would be refused after it, or at load."""
    check_replaceable(output)
    if output.parent.exists():  # else it is made
        check_place(output)
    if (folder / TOKENIZER).is_file():
        read_tokenizer(folder / TOKENIZER)


def _copied(folder: Path) -> dict[str, bytes]:
    return {
        name: (folder / name).read_bytes() for name in COPIED_FILES if (folder / name).is_file()
    }


def _tools() -> dict[str, str]:
    """Versions of what takes part in a build; equal tools and inputs give equal artifacts."""
    from importlib.metadata import version

    names = ("torch", "transformers")
    return {"tapeout": __version__, "python": platform.python_version()} | {
        name: version(name) for name in names
    }
