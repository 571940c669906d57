"""`trace`: from a checkpoint or a configuration to an IR module at level ``traced``."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Mapping
from typing import Any

import torch
from transformers import CONFIG_MAPPING, PretrainedConfig, __version__

from ..errors import UnsupportedModelError
from ..ir.graph import Function, Module
from ..ir.ops.dtypes import to_torch
from ..ir.types import DType
from .bind_weights import bind_weights, check_shapes, is_stored_untied
from .captured import SPECIAL
from .checkpoint import TensorSource
from .export import INPUTS, export_step
from .import_fx import Importer, import_graph
from .layers import cut_layers
from .model import build_model

_COMPUTED = "rotary_emb.inv_freq"  # what checkpoints of old hold of each layer, and no model reads
_log = logging.getLogger(__name__)


def trace(source: TensorSource, dtype: DType = DType.F32) -> Module:
    """Trace the model of an opened checkpoint in ``dtype``; see `trace_config`.

    Raises CheckpointError when the checkpoint lacks a tensor that the model needs, or has one of
    another shape; warns of tensors that the model does not read.
    """
    module = trace_config(model_config(source.config), dtype, source.shapes)
    check_shapes(module.weights.values(), source.shapes)
    _warn_of_unread(module, source)
    return module


def _warn_of_unread(module: Module, source: TensorSource) -> None:
    programs = [program for w in module.weights.values() for _, program in w.members()]
    read = {name for program in programs for name in program.sources()}
    unread = [name for name in source.shapes if name not in read and not name.endswith(_COMPUTED)]
    if unread:
        _log.warning(
            "of the checkpoint's tensors %d are not read, the first is %s: the model that its "
            "config.json describes has none of them; check num_hidden_layers there",
            len(unread),
            unread[0],
        )


def model_config(fields: Mapping[str, Any]) -> PretrainedConfig:
    """transformers' configuration for the fields of a config.json."""
    kind = str(fields.get("model_type"))
    if kind not in CONFIG_MAPPING:
        raise UnsupportedModelError(
            f"model_type {kind!r} is not one of transformers' own",
            f"use a checkpoint of an architecture that transformers {__version__} has, or a newer "
            "transformers",
        )
    if fields.get("quantization_config"):
        scheme = fields["quantization_config"]
        method = scheme.get("quant_method") if isinstance(scheme, Mapping) else scheme
        raise UnsupportedModelError(
            f"the checkpoint is quantized ({method})", "use one that is not"
        )
    try:
        return CONFIG_MAPPING[kind].from_dict({k: v for k, v in fields.items() if k != "auto_map"})
    except Exception as error:  # validators of configurations raise what they like
        message = " ".join(str(error).split())
        said = f"the configuration of {kind}: {message}"
        raise UnsupportedModelError(said, "put config.json right") from error


def trace_config(
    config: PretrainedConfig, dtype: DType = DType.F32, names: Collection[str] | None = None
) -> Module:
    """Trace the model of ``config`` in ``dtype``.

    ``names`` are the tensors of the checkpoint that weights will come from; None means a
    checkpoint in the module's own names. No weight is read. Raises UnsupportedModelError, naming
    the module and the reason, for what cannot be compiled.
    """
    model = build_model(config, to_torch(dtype))
    if is_stored_untied(model, names):
        config = copy.deepcopy(config)
        config.tie_word_embeddings = False
        model = build_model(config, to_torch(dtype))
    exported = export_step(model)
    function = _import(exported)
    if all(node.op != "attention" for node in function.nodes):
        layers = f"num_hidden_layers={getattr(config, 'num_hidden_layers', None)}"
        raise UnsupportedModelError(
            f"{type(model).__name__} has no layer with attention ({layers})", "use a model with one"
        )
    used = dict.fromkeys(n.attrs["name"] for n in function.nodes if n.op == "weight")
    weights = bind_weights(model, exported, used, names)
    lists = [n for n, m in model.named_modules() if isinstance(m, torch.nn.ModuleList)]
    module = cut_layers(function, weights, lists)
    facts = _facts(model, config)
    return Module(module.functions, module.entries, module.weights, module.level, facts)


def _facts(model: Any, config: PretrainedConfig) -> dict[str, Any]:
    text = config.get_text_config(decoder=True)
    return {
        "architecture": type(model).__name__,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": getattr(text, "max_position_embeddings", None),
    }


def _import(exported: Any) -> Function:
    """The exported graph as one function; weights are named as the model names them."""
    tensors = {
        spec.arg.name: str(spec.target).removeprefix("model.")
        for spec in exported.graph_signature.input_specs
        if spec.target is not None
    }
    symbols = {
        str(node.meta["val"].shape[0].node.expr): INPUTS[node.name]
        for node in exported.graph.nodes
        if node.op == "placeholder" and node.name in INPUTS
    }
    return import_graph(Importer(symbols, tensors), exported.graph, SPECIAL)
