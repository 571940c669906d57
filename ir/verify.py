"""The verifier: what every module must hold, checked after each pass."""

from __future__ import annotations

from .graph import Function, Module, Node, Value
from .ops import Kind, record_of
from .printer import print_node
from .types import TensorType


class VerifyError(AssertionError):
    """A broken rule; the message names the function and shows the node."""


def verify(module: Module) -> Module:
    """Check levels, types, names and calls of every function; gives the module back.

    Raises VerifyError naming the function, the node and the rule.
    """
    for function in module.functions.values():
        verify_function(function, module)
    missing = [name for name in module.entries if name not in module.functions]
    if missing:
        raise VerifyError(f"entry functions {missing} do not exist")
    return module


def verify_function(function: Function, module: Module) -> None:
    """Check one function of ``module``."""
    known: set[Value] = set()
    names: set[str] = set()
    _define(function, function.params, known, names)
    for node in function.nodes:
        try:
            _check_node(node, known, module)
            _define(function, node.results, known, names)
        except (AssertionError, KeyError, ValueError) as error:
            raise VerifyError(f"@{function.name}: {print_node(node)}\n  {error}") from error
    for value in function.results:
        if value not in known:
            raise VerifyError(f"@{function.name} returns %{value.name}, which nothing defines")


def _define(
    function: Function, values: tuple[Value, ...], known: set[Value], names: set[str]
) -> None:
    for value in values:
        if value.name in names:
            raise VerifyError(f"@{function.name} defines %{value.name} twice")
        names.add(value.name)
        known.add(value)


def _check_node(node: Node, known: set[Value], module: Module) -> None:
    record = record_of(node.op)
    for value in node.operands:
        assert value in known, f"%{value.name}: {value.type} is not defined before its use"
    assert record.allowed_at(module.level), f"{node.op} is not allowed at level {module.level}"
    if record.kind is Kind.ATEN:
        return
    attrs = record.complete(node.attrs)
    _check_count(node, record.operands)
    expected = _result_types(node, attrs, module)
    found = tuple(value.type for value in node.results)
    assert found == expected, f"types {_texts(expected)} wanted, {_texts(found)} found"


def _check_count(node: Node, names: tuple[str, ...]) -> None:
    least = sum(not name.endswith(("?", "*")) for name in names)
    most = float("inf") if any(name.endswith("*") for name in names) else len(names)
    assert least <= len(node.operands) <= most, f"{len(node.operands)} operands for {names}"


def _result_types(node: Node, attrs: dict[str, object], module: Module) -> tuple[TensorType, ...]:
    if node.op == "repeat":
        return _repeat_types(node, module)
    if node.op == "region":
        callee = module.functions[str(attrs["function"])]
        _check_call(callee, node.operands)
        return tuple(value.type for value in callee.results)
    return record_of(node.op).infer([value.type for value in node.operands], attrs)


def _repeat_types(node: Node, module: Module) -> tuple[TensorType, ...]:
    attrs = record_of(node.op).complete(node.attrs)
    carried, end = node.operands[: attrs["carried"]], attrs["first"] + attrs["count"]
    for name, families in zip(attrs["pattern"], attrs["weights"], strict=True):
        callee, count = module.functions[name], len(node.operands)
        _check_call(callee, node.operands, len(families))
        for parameter, family in zip(callee.params[count:], families, strict=True):
            weight = module.weights[family]
            assert weight.type == parameter.type, f"@{family} is {weight.type}: {parameter}"
            assert weight.count >= end, f"@{family} has {weight.count} members"
        given = tuple(value.type for value in callee.results)
        runs_once = attrs["count"] == len(attrs["pattern"]) == 1
        assert runs_once or given == tuple(value.type for value in carried)
    return given


def _check_call(callee: Function, operands: tuple[Value, ...], extra: int = 0) -> None:
    assert len(callee.params) == len(operands) + extra, f"@{callee.name} takes other operands"
    for parameter, value in zip(callee.params, operands, strict=False):
        assert parameter.type == value.type, f"@{callee.name} takes {parameter}, not {value.type}"


def _texts(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(str, types))
