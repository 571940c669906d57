"""From a path to a model that can run: opens an artifact, or has a checkpoint compiled first."""

import logging
import time
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ..artifact import Artifact, Described, Manifest, Target
from ..artifact.checks import REBUILD
from ..errors import ArtifactError, InputError, shown
from ..kvcache.cache import PagedCache
from .choose_target import choose_target
from .cuda.device import Device
from .cuda.executor import CAPTURE_S, CudaExecutor
from .cuda.grids import check_grids
from .edits import ModelBounds
from .engine import Engine
from .executor import Executor
from .grammars.compiler import GrammarCompiler
from .limits import Limits
from .machine import choose_num_threads
from .plan import MemoryPlan, plan_memory
from .scheduler import Scheduler

_ENTRIES = ("step", "sample")
_OUTPUTS = ("logits", "sampled", "chosen_logprobs", "ranks", "top_token_ids", "top_logprobs")
_ALIASES = {"bf16": "bfloat16", "f32": "float32", "float": "float32", "f16": "float16"}
_ALIASES |= {"half": "float16"}
_DTYPES = ("auto", "bfloat16", "float32", "float16")

_log = logging.getLogger(__name__)

AnyExecutor: TypeAlias = Executor | CudaExecutor


class LoadedModel(NamedTuple):
    """An opened artifact, what was planned for it, and what runs it."""

    folder: Path
    manifest: Manifest
    target_name: str
    plan: MemoryPlan
    executor: AnyExecutor
    opening_s: float = 0.0  # until the executor was begun

    @property
    def _target(self) -> Target:
        return self.manifest.targets[self.target_name]

    def bounds(self) -> ModelBounds:
        """What a request is held to."""
        longest, most = self.plan.max_model_len, self.manifest.model.max_position_embeddings
        room = {entry.name: entry.bytes.get("N", 0) // 4 for entry in self._target.inputs}
        return ModelBounds(
            vocab_size=self.manifest.model.vocab_size,
            max_model_len=longest,
            bound="cache" if self.plan.cut else "model" if longest == most else "caller",
            eos_token_ids=tuple(self.manifest.model.eos_token_ids),
            max_edits=room.get("edit_tokens", 0),
            max_prefix_tokens=room.get("edit_prefixes", 0),
        )

    def grammars(self, tokenizer_folder: Path | None) -> GrammarCompiler:
        """What compiles grammars for this model; with no tokenizer it refuses all."""
        model = self.manifest.model
        return GrammarCompiler(tokenizer_folder, model.vocab_size, model.eos_token_ids)

    def engine(
        self,
        grammars: GrammarCompiler,
        seed: int = 0,
        enable_prefix_caching: bool = True,
        max_num_waiting: int | None = None,
        max_waiting_tokens: int | None = None,
    ) -> Engine:
        """A new engine over all of the executor's pages; its queue is bounded where that is set."""
        scheduler = self.scheduler(enable_prefix_caching, max_num_waiting, max_waiting_tokens)
        return Engine(self.executor, scheduler, grammars, seed)

    def scheduler(
        self,
        enable_prefix_caching: bool = True,
        max_num_waiting: int | None = None,
        max_waiting_tokens: int | None = None,
    ) -> Scheduler:
        """A new scheduler over all of the executor's pages."""
        plan = self.plan
        cache = PagedCache(
            self._target.cache_groups,
            plan.num_pages,
            plan.max_num_seqs,
            plan.block_table_width,
            enable_prefix_caching,
            max_tokens_in_flight=plan.max_tokens_in_flight,
        )
        return Scheduler(
            cache,
            plan.max_num_seqs,
            plan.max_model_len,
            plan.max_num_batched_tokens,
            plan.max_logit_rows,
            max_num_waiting,
            max_waiting_tokens,
        )


def open_model(
    model: Path,
    limits: Limits,
    dtype: object = "auto",
    quantization: str | None = None,
    tensor_parallel_size: int = 1,
    load_format: str = "auto",
    num_threads: int | None = None,
    enforce_eager: bool = False,
) -> LoadedModel:
    """The model on a GPU that the artifact is built for, if one is here, else on the CPU.

    With `enforce_eager` no graph is captured on a GPU. Raises InputError, ArtifactError or
    CapacityError before the memory is taken.
    """
    choose_num_threads(num_threads)  # what cannot be is said before the work, not after
    folder = artifact_path(model, load_format, dtype, quantization, tensor_parallel_size)
    started_s = time.perf_counter()
    artifact = Artifact.open(folder, verify_weights=False)  # whoever reads them does it
    check_properties(artifact, dtype, quantization, tensor_parallel_size)
    target_name, device = choose_target(artifact)
    with ExitStack() as undo:
        if device is not None:
            undo.callback(device.close)
        plan = _plan(artifact, target_name, device, limits)
        if plan.cut is not None:
            _log.warning("%s", plan.cut)
        opening_s = time.perf_counter() - started_s
        executor: AnyExecutor
        if device is None:
            executor = Executor(artifact, plan, num_threads)
        else:
            capture_s = 0.0 if enforce_eager else CAPTURE_S
            executor = CudaExecutor(artifact, target_name, device, plan, num_threads, capture_s)
        undo.pop_all()
    return LoadedModel(artifact.path, artifact.manifest, target_name, plan, executor, opening_s)


def check_load(folder: Path, limits: Limits, dtype: object = "auto") -> None:
    """Raises what `open_model` would of an artifact; takes no memory."""
    artifact = Artifact.open(folder, verify_weights=False)
    check_properties(artifact, dtype, None, 1)
    target_name, device = choose_target(artifact)
    with closing(device) if device else nullcontext():
        _plan(artifact, target_name, device, limits)


def _plan(
    artifact: Artifact, target_name: str, device: Device | None, limits: Limits
) -> MemoryPlan:
    described, model = artifact.described(target_name), artifact.manifest.model
    _check_steps(described, f"targets.{target_name}", artifact.path)
    device_bytes = device.facts.memory_bytes if device else None
    plan = plan_memory(described.target, model.max_position_embeddings, limits, device_bytes)
    if device is not None:
        check_grids(described, plan)
    return plan


def _check_steps(described: Described, name: str, path: Path) -> None:
    """Refuses a target that lacks what a step needs. Raises ArtifactError."""
    missing = [f"outputs.{output}" for output in _OUTPUTS if output not in described.target.outputs]
    for entry in _ENTRIES:
        tapes = [tape for n, tape in described.tapes.items() if n.split(".")[0] == entry]
        if not tapes or tapes[-1].max_rows is not None or tapes[-1].one_token_each:
            missing.append(f"tapes.{entry} for any step")
    if described.target.levels == {}:
        missing += [f"kernels.{k.name}.cubin" for k in described.target.kernels if not k.cubin]
    if missing:
        raise ArtifactError(path / "manifest.json", name, f"no {missing[0]}", "one", REBUILD)


def is_artifact(path: Path) -> bool:
    """Whether a folder is an artifact; a checkpoint has no manifest."""
    return (path / "manifest.json").is_file()


def check_is_model(path: Path) -> None:
    """Raises InputError for what is neither an artifact nor a checkpoint."""
    if not is_artifact(path) and not (path / "config.json").exists():
        raise InputError(
            f"{path} is no model: it has neither an artifact's manifest.json nor a checkpoint's "
            "config.json; give the folder of one"
        )


def artifact_path(
    model: Path,
    load_format: str = "auto",
    dtype: object = "auto",
    quantization: str | None = None,
    tensor_parallel_size: int = 1,
) -> Path:
    """The artifact itself, or that of a checkpoint, compiled first if it has to be."""
    check_is_model(model)
    if load_format not in ("auto", "dummy"):
        raise InputError(f"load_format={shown(load_format)} is not allowed; give auto or dummy")
    if is_artifact(model):
        if load_format == "dummy":
            raise InputError(f"{model} holds its weights; load_format=dummy is for checkpoints")
        return model
    from .compiled_cache import compiled_artifact

    return compiled_artifact(
        model,
        load_format=load_format,
        dtype=_dtype_name(dtype),
        quantization=quantization,
        tensor_parallel_size=tensor_parallel_size,
    )


def _dtype_name(dtype: object) -> str:
    """`auto` or torch's word for a dtype; torch's own dtypes are known by their names."""
    name = str(dtype).removeprefix("torch.")
    name = _ALIASES.get(name, name)
    if name not in _DTYPES:
        raise InputError(f"dtype={shown(name)} is not known; give one of {', '.join(_DTYPES)}")
    return name


def check_properties(
    artifact: Artifact, dtype: object, quantization: str | None, tensor_parallel_size: int
) -> None:
    """What was decided when the model was compiled is not changed afterwards.

    Raises InputError naming what was asked for, and what the artifact has.
    """
    asked = {
        "dtype": (_dtype_name(dtype), ("auto", _dtype_name(artifact.manifest.model.dtype))),
        "quantization": (quantization, (None,)),
        "tensor_parallel_size": (tensor_parallel_size, (1,)),
    }
    for name, (value, allowed) in asked.items():
        if value not in allowed:
            raise InputError(
                f"{name}={shown(value)} was asked for, but {artifact.path} is compiled with "
                f"{name}={allowed[-1]}; leave it out, or compile the model anew"
            )
