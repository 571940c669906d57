"""`trace`: from a checkpoint folder or a configuration to an IR module at level ``traced``."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import torch
from transformers import CONFIG_MAPPING, PretrainedConfig

from ..errors import CheckpointError, TapeoutError, UnsupportedModelError
from ..ir.graph import Function, Module
from ..ir.ops.dtypes import from_torch, to_torch
from ..ir.types import Dim, DType, TensorType
from ..ir.weights import Step, Weight
from .captured import SPECIAL
from .checkpoint import TensorSource
from .import_fx import Importer, import_graph, writes_are_plain
from .layers import cut_layers
from .model import build_model, constants, first_line
from .names import weight_programs

INPUTS = {"token_ids": "T", "positions": "T", "sequence_ids": "T", "logit_rows": "R"}
"""Declared inputs of a step, all i32, with the symbol of their length."""

_EXAMPLE_LENGTHS = {"T": 24, "R": 5}
_MAX_LENGTH = 1 << 20


class _Step(torch.nn.Module):
    """A causal language model as a function of a token-packed step."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        sequence_ids: torch.Tensor,
        logit_rows: torch.Tensor,
    ) -> torch.Tensor:
        """Logits [R, V] of the tokens at logit_rows [R]; the other inputs are [T]."""
        found = self.model(
            input_ids=token_ids[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=logit_rows,
        )
        logits: torch.Tensor = found.logits
        return logits[0]


def trace(source: TensorSource, dtype: DType = DType.F32) -> Module:
    """Trace the model of an opened checkpoint in ``dtype``; see `trace_config`.

    Raises CheckpointError when the checkpoint lacks a tensor that the model needs.
    """
    return trace_config(model_config(source.config), dtype, source.shapes)


def model_config(fields: Mapping[str, Any]) -> PretrainedConfig:
    """transformers' configuration for the fields of a config.json."""
    kind = str(fields.get("model_type"))
    if kind not in CONFIG_MAPPING:
        raise UnsupportedModelError(f"model_type {kind!r} is not one of transformers' own")
    try:
        return CONFIG_MAPPING[kind].from_dict(dict(fields))
    except Exception as error:  # validators of configurations raise what they like
        message = " ".join(str(error).split())
        raise UnsupportedModelError(f"the configuration of {kind}: {message}") from error


def trace_config(
    config: PretrainedConfig, dtype: DType = DType.F32, names: Collection[str] | None = None
) -> Module:
    """Trace the model of ``config`` in ``dtype``.

    ``names`` are the tensors of the checkpoint that weights will come from; None means a
    checkpoint in the module's own names. No weight is read. Raises UnsupportedModelError, naming
    the module and the reason, for what cannot be compiled.
    """
    model = build_model(config, to_torch(dtype))
    exported = _export(model)
    tensors = _tensors(exported)
    weights = _weights(model, exported, tensors, names)
    function = _function(exported, tensors)
    lists = [n for n, m in model.named_modules() if isinstance(m, torch.nn.ModuleList)]
    used = {str(node.attrs["name"]) for node in function.nodes if node.op == "weight"}
    missing = sorted(used - set(weights))
    if missing:
        raise CheckpointError(
            "checkpoint", missing[0], "no such tensor", "a tensor for this weight"
        )
    module = cut_layers(function, {name: weights[name] for name in used}, lists)
    return Module(module.functions, module.entries, module.weights, module.level, _facts(config))


def _facts(config: PretrainedConfig) -> dict[str, Any]:
    text = config.get_text_config(decoder=True)
    return {
        "architecture": (config.architectures or [type(config).__name__])[0],
        "vocab_size": text.vocab_size,
        "max_position_embeddings": getattr(text, "max_position_embeddings", None),
    }


def _export(model: Any) -> Any:
    """The exported program; failures become UnsupportedModelError with torch's first line."""
    lengths = {s: torch.export.Dim(s, min=1, max=_MAX_LENGTH) for s in ("T", "R")}
    examples = {
        name: torch.zeros(_EXAMPLE_LENGTHS[s], dtype=torch.int32, device="meta")
        for name, s in INPUTS.items()
    }
    shapes = {name: {0: lengths[s]} for name, s in INPUTS.items()}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(
                _Step(model), (), examples, dynamic_shapes=shapes, strict=False
            )
            plain = writes_are_plain(exported.graph)
            return exported if plain else exported.run_decompositions({})
    except TapeoutError:
        raise
    except Exception as error:  # whatever a model's Python raises while it is traced
        raise UnsupportedModelError(_reason(model, error)) from error


def _reason(model: Any, error: BaseException) -> str:
    """One line: the model class, the innermost frame of transformers' code, torch's message."""
    place, frame = "", error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if "transformers/models/" in code.co_filename.replace("\\", "/"):
            owner = frame.tb_frame.f_locals.get("self")
            place = f"{type(owner).__name__}.{code.co_name}" if owner is not None else code.co_name
        frame = frame.tb_next
    message = first_line(error)
    if message.startswith("Constraints violated"):
        message = "the number of tokens in a step cannot vary freely"
    return f"{type(model).__name__}: {place or 'forward'} cannot be traced: {message}"


def _tensors(exported: Any) -> dict[str, str]:
    """Placeholder name to the name of its tensor in the model."""
    return {
        spec.arg.name: str(spec.target).removeprefix("model.")
        for spec in exported.graph_signature.input_specs
        if spec.target is not None
    }


def _function(exported: Any, tensors: Mapping[str, str]) -> Function:
    symbols: dict[str, str] = {}
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in INPUTS:
            symbols[str(node.meta["val"].shape[0].node.expr)] = INPUTS[node.name]
    if len(symbols) != 2:
        raise UnsupportedModelError("the number of tokens is fixed by the model")
    return import_graph(Importer(symbols, tensors), exported.graph, SPECIAL)


def _weights(
    model: Any, exported: Any, tensors: Mapping[str, str], names: Collection[str] | None
) -> dict[str, Weight]:
    """A weight for every tensor of the model: from the checkpoint, or a constant."""
    programs = weight_programs(model, names)
    first = {id(p): programs[n] for n, p in _parameters(model) if n in programs}
    values = constants(model) | {
        name.removeprefix("model."): value
        for name, value in exported.constants.items()
        if isinstance(value, torch.Tensor) and not value.is_meta
    }
    found: dict[str, Weight] = {}
    own = dict(_parameters(model))
    for name in tensors.values():
        if name in values:
            found[name] = _constant(name, values[name])
        elif name in own and id(own[name]) in first:
            tensor = own[name]
            type = TensorType(tuple(map(Dim, tensor.shape)), from_torch(tensor.dtype))
            found[name] = Weight(name, type, first[id(tensor)])
    return found


def _parameters(model: Any) -> list[tuple[str, torch.Tensor]]:
    """Parameters and buffers by every name they have: tied ones occur several times."""
    parameters = list(model.named_parameters(remove_duplicate=False))
    return parameters + list(model.named_buffers(remove_duplicate=False))


def _constant(name: str, value: torch.Tensor) -> Weight:
    dtype = from_torch(value.dtype)
    raw = value.contiguous().flatten().view(torch.uint8) if value.dim() else value.reshape(1)
    data = bytes(raw.view(torch.uint8).tolist()).hex()
    type = TensorType(tuple(map(Dim, value.shape)), dtype)
    return Weight(name, type, Step("constant", (), (dtype, tuple(value.shape), data)))
