"""Imports an exported torch graph as one flat function at level ``traced``.

Only what the outputs depend on is imported. Symbolic sizes become dims, parameters and buffers
become `weight` nodes, and the captured ops become `attention` and `experts` (see `captured`).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node as FxNode

from ..errors import UnsupportedModelError
from ..ir.graph import Function, Names, Node, Value, drop_dead
from ..ir.ops.dtypes import from_torch
from ..ir.types import Dim, TensorType

_IGNORED_ARGUMENTS = frozenset(("device", "layout", "pin_memory", "memory_format", "non_blocking"))
_STORAGE_OPS = frozenset(
    ("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range", "sym_size")
)


class Importer:
    """State of one import: values by FX node, nodes so far, names in use.

    ``symbols`` maps torch's size symbols to ours; ``weights`` maps placeholders to weight names.
    """

    def __init__(self, symbols: Mapping[str, str], weights: Mapping[str, str]):
        self.symbols, self.weights = symbols, weights
        self.values: dict[FxNode, Value] = {}
        self.results: dict[FxNode, tuple[Value, ...]] = {}
        self.nodes: list[Node] = []
        self.names = Names()
        self.params: dict[str, Value] = {}

    def dim(self, size: Any) -> Dim:
        """A size, of torch, as a Dim; UnsupportedModelError when it is not linear."""
        if isinstance(size, int):
            return Dim(size)
        total = Dim()
        for term, factor in size.node.expr.as_coefficients_dict().items():
            if term == 1:
                total += int(factor)
            elif str(term) in self.symbols and factor == int(factor):
                total += Dim(0, ((self.symbols[str(term)], int(factor)),))
            else:
                raise UnsupportedModelError(f"a tensor's size is {size.node.expr}: not linear")
        return total

    def type(self, fx: FxNode) -> TensorType:
        """The type of the tensor that a node gives."""
        return self.types(fx)[0]

    def types(self, fx: FxNode) -> list[TensorType]:
        """The types of all tensors that a node gives."""
        found = fx.meta["val"]
        tensors = found if isinstance(found, (tuple, list)) else [found]
        try:
            return [
                TensorType(tuple(map(self.dim, tensor.shape)), from_torch(tensor.dtype))
                for tensor in tensors
            ]
        except KeyError as error:
            made = f"%{fx.name} = {fx.target} is of {error}, which is not compiled"
            raise UnsupportedModelError(f"{module_path(fx) or 'model'}: {made}") from error

    def emit(
        self,
        op: str,
        operands: Sequence[Value],
        attrs: Mapping[str, Any],
        types: Sequence[TensorType],
        fx: FxNode,
    ) -> tuple[Value, ...]:
        """Append a node and give its results."""
        results = tuple(Value(self.names.fresh(fx.name), type) for type in types)
        self.nodes.append(Node(op, tuple(operands), dict(attrs), results, module_path(fx)))
        return results

    def value(self, fx: Any) -> Value:
        """The value of an FX argument."""
        assert isinstance(fx, FxNode), f"{fx} is no tensor"
        if fx not in self.values:
            raise UnsupportedModelError(
                f"{module_path(fx)}: the attention mask is read by the model's own attention, "
                "which is not on transformers' attention interface"
            )
        return self.values[fx]


def module_path(fx: FxNode) -> str:
    """The path of the module that a node came from, the empty string at the top."""
    stack = fx.meta.get("nn_module_stack") or {}
    path = next((str(entry[0]) for entry in reversed(list(stack.values()))), "")
    return path.removeprefix("model").removeprefix(".")


def is_in_place(fx: FxNode) -> bool:
    """True for a call that writes to its first operand."""
    schema = getattr(fx.target, "_schema", None) if fx.op == "call_function" else None
    return bool(schema is not None and schema.is_mutable)


def writes_are_plain(graph: torch.fx.Graph) -> bool:
    """True when each in-place op writes to a value of its own, of which there are no views."""
    return all(_owns_memory(fx.args[0]) for fx in graph.nodes if is_in_place(fx))


def _owns_memory(fx: Any) -> bool:
    source = fx.args[0] if fx.target is operator.getitem else fx
    readers = [user for user in fx.users if not is_in_place(user)]
    return source.op == "call_function" and not any(map(_is_view, (source, *readers)))


def _is_view(fx: FxNode) -> bool:
    schema = getattr(fx.target, "_schema", None)
    return schema is not None and any(result.alias_info for result in schema.returns)


def live_nodes(graph: torch.fx.Graph) -> set[FxNode]:
    """Nodes that the outputs depend on, writes to values that are read later among them."""
    live: set[FxNode] = {graph.output_node()}
    for fx in reversed(graph.nodes):
        if fx in live or (is_in_place(fx) and fx.args[0] in live):
            live.update((fx, *fx.all_input_nodes))
    return live


def import_aten(importer: Importer, fx: FxNode) -> None:
    """Import one call of a torch op: tensors are operands, everything else attributes."""
    operands: list[Value] = []
    attrs: dict[str, Any] = {}
    schema = fx.target._schema  # type: ignore[union-attr]
    given = dict(zip((a.name for a in schema.arguments), fx.args, strict=False)) | fx.kwargs
    for argument in schema.arguments:
        value = given.get(argument.name)
        if value is None or argument.name in _IGNORED_ARGUMENTS:
            continue
        if _is_tensor(value):
            operands.append(importer.value(value))
        elif isinstance(value, (list, tuple)) and value and all(map(_is_tensor, value)):
            operands += [importer.value(item) for item in value]
            attrs[f"{argument.name}_count"] = len(value)
        else:
            attrs[argument.name] = _attribute(importer, value)
    types = importer.types(fx)
    in_place = is_in_place(fx)
    name = str(fx.target).replace("_.", ".") if in_place else str(fx.target)
    results = importer.emit(name, operands, attrs, types, fx)
    importer.results[fx] = results
    importer.values[fx] = results[0]
    if in_place:
        importer.values[fx.args[0]] = results[0]  # type: ignore[index]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, FxNode) and not isinstance(value.meta.get("val"), _SCALARS)


_SCALARS = (torch.SymInt, torch.SymFloat, torch.SymBool, int, float, bool)


def _attribute(importer: Importer, value: Any) -> Any:
    if isinstance(value, FxNode):
        return _attribute(importer, value.meta["val"])
    if isinstance(value, (list, tuple)):
        return tuple(_attribute(importer, item) for item in value)
    if isinstance(value, torch.dtype):
        return from_torch(value)
    return importer.dim(value) if isinstance(value, torch.SymInt) else value


def import_placeholder(importer: Importer, fx: FxNode) -> None:
    """A weight for a parameter or buffer, a parameter of the function for an input."""
    type = importer.type(fx)
    if fx.name in importer.weights:
        name = importer.weights[fx.name]
        attrs = {"name": name, "dtype": type.dtype, "shape": _ints(type)}
        result = Value(importer.names.fresh(name), type)
        importer.nodes.append(Node("weight", (), attrs, (result,)))
        importer.values[fx] = result
    else:
        importer.values[fx] = Value(importer.names.fresh(fx.name), type)
        importer.params[fx.name] = importer.values[fx]


def _ints(type: TensorType) -> tuple[int, ...]:
    return tuple(int(dim) for dim in type.shape)


def import_graph(importer: Importer, graph: torch.fx.Graph, special: Mapping[str, Any]) -> Function:
    """The graph as the function ``step``.

    ``special`` maps names of torch ops to functions that import them instead of `import_aten`.
    Raises UnsupportedModelError, naming the module, for what cannot be imported.
    """
    live = live_nodes(graph)
    for fx in graph.nodes:
        if fx.op == "placeholder" and (fx in live or fx.name not in importer.weights):
            import_placeholder(importer, fx)
        elif fx.op == "call_function" and fx in live:
            _import_call(importer, fx, special)
    outputs = tuple(importer.value(fx) for fx in graph.output_node().args[0])  # type: ignore[union-attr]
    step = Function("step", tuple(importer.params.values()), tuple(importer.nodes), outputs)
    return drop_dead(step)[0]


def _import_call(importer: Importer, fx: FxNode, special: Mapping[str, Any]) -> None:
    if isinstance(fx.meta.get("val"), _SCALARS):
        return
    if fx.target is operator.getitem:
        source, index = fx.args
        importer.values[fx] = importer.results[source][index]  # type: ignore[index]
    elif str(fx.target) in special:
        special[str(fx.target)](importer, fx)
    elif str(fx.target).startswith("aten."):
        if fx.target._schema.name.split("::")[1] not in _STORAGE_OPS:  # type: ignore[union-attr]
            import_aten(importer, fx)
    else:
        raise UnsupportedModelError(f"{module_path(fx) or 'model'}: {fx.target} is not compiled")
