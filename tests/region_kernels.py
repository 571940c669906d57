"""Compiles regions for one instruction-set level and runs them on tensors, by the player."""

import tempfile
from pathlib import Path

import torch

from tapeout import settings
from tapeout.codegen.cpp.emit import emit_region
from tapeout.codegen.cpp.library import build_libraries, build_player
from tapeout.codegen.packing import packed_operands
from tapeout.ir.graph import Module
from tapeout.ir.interpret import Interpreter
from tapeout.ir.ops import record_of
from tapeout.ir.ops.dtypes import to_torch
from tapeout.ir.parser import parse_function
from tapeout.runtime.player import Launch, Player, PlayerLibrary

LEVELS = ("x86-64-v4-bf16", "x86-64-v4", "x86-64-v3")


def player_library():
    objects = settings.CACHE.get() / "objects"
    path = objects / "player.so"
    if not path.exists():
        build_player(objects, path)
    return PlayerLibrary(path)


def usable_levels():
    library = player_library()
    return [level for level in LEVELS if library.supports(level)]


def regions_of(texts, level):
    """Regions in one file, for they take less than the headers do; their names are numbered."""
    made = [Region(text.replace("(", f"_{place}(", 1)) for place, text in enumerate(texts)]
    path = _library([region.emitted.source for region in made], level)
    for region in made:
        region.path = path
    return made


def _library(sources, level):
    objects = settings.CACHE.get() / "objects"
    folder = Path(tempfile.mkdtemp(dir=settings.CACHE.get()))
    named = {f"region{place:03}.cpp": source for place, source in enumerate(sources)}
    return build_libraries(named, [level], objects, folder)[level]


class Region:
    """A region function, given as IR text, compiled for ``level`` if one is given."""

    def __init__(self, text, level=None, also_packed=(), asked=None):
        self.function = parse_function(text)
        self.packed = frozenset(
            node.operands[place].name
            for node in self.function.nodes
            for place in packed_operands(node.op)
        ) | frozenset(also_packed)
        self.written = {
            value
            for node in self.function.nodes
            for value, _ in zip(node.results, record_of(node.op).writes, strict=False)
        }
        self.emitted = emit_region(self.function, self.packed, asked)
        self.path = _library([self.emitted.source], level) if level else None

    def run(self, arguments, symbols, inputs=None, num_threads=1):
        """Results of the kernel. Packed parameters come packed; a cache is a tensor it writes."""
        results = [
            torch.zeros(v.type.concrete(symbols), dtype=to_torch(v.dtype))
            for v in self.function.results
            if v not in self.written
        ]
        workspaces = [
            torch.zeros(size.evaluate(symbols), dtype=torch.uint8)
            for size in self.emitted.workspaces
        ]
        tables = {"param": arguments, "result": results, "workspace": workspaces}
        tables["input"] = inputs or {}
        launches = [
            Launch(
                self.emitted.name + launch.suffix,
                [tables[operand.kind][operand.place].data_ptr() for operand in launch.buffers],
                [_coefficients(scalar) for scalar in launch.scalars],
            )
            for launch in self.emitted.launches
        ]
        player = Player(player_library(), self.path, num_threads)
        dims = tuple(symbols.get(name, 0) for name in "TSRP")
        player.run(player.add_tape(launches), dims)
        player.close()
        return results

    def reference(self, arguments, symbols):
        """Results of the interpreter; caches are its own."""
        name = self.function.name
        module = Module({name: self.function}, (name,), {}, "region")
        return Interpreter(module, {}, symbols).run(name, arguments)


def _coefficients(dim):
    terms = dict(dim.terms)
    return (dim.const, *(terms.get(name, 0) for name in "TSRP"))


def relative_error(found, wanted):
    """The distance of two tensors over the norm of the second."""
    return float((found.float() - wanted.float()).norm() / wanted.float().norm())
