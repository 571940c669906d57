"""Plays the tapes of any target on the CPU, by the records in the manifest in place of kernels.

It finds everything where the tapes say that it is, so a tape for a GPU can be right or wrong here.
"""

from collections.abc import Iterator
from pathlib import Path

import torch

from tapeout import compile_model
from tapeout.artifact import Artifact, CacheBuffer
from tapeout.codegen.pages import page_layouts
from tapeout.codegen.tape import written_states
from tapeout.codegen.triton import build
from tapeout.codegen.triton.compile import Compiled
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.squares import computed_part, optional_results
from tapeout.ir.graph import Module
from tapeout.ir.interpret import Interpreter
from tapeout.ir.parser import parse_function
from tapeout.ir.types import DType
from tapeout.runtime.buffers import Buffers
from tapeout.runtime.load import LoadedModel
from tapeout.runtime.memory import Place
from tapeout.runtime.plan import plan_memory
from tapeout.runtime.slot_tables import SlotTables
from tapeout.runtime.weights import LoadedWeights
from tapeout.verification.load import limits_for
from tapeout.verification.subject import read_module
from tapeout.verification.tensors import tensor_at

TARGET = "cuda:sm_90"
FEW_ROWS = Steps("few", 1)
_STEP_INPUTS = {"token_places", "positions", "sequence_ids", "query_start", "context_lengths"}
_STEP_INPUTS |= {"logit_rows", "sample_slots", "sample_positions", "sample_places", "targets"}


def compile_without_code(checkpoint: Path, output: Path, monkeypatch) -> Path:
    """An artifact for a GPU whose kernels have records and no machine code."""

    def nothing(kernels, target, objects):
        file = output.with_suffix(".nothing")
        file.write_bytes(b"")
        counts = dict.fromkeys(("num_warps", "num_stages", "shared_bytes", "registers"), 1)
        return {n: Compiled(file, file, n, local_bytes=0, maps=[], **counts) for n in kernels}

    monkeypatch.setattr(build, "compile_kernels", nothing)
    return compile_model(checkpoint, output, TARGET)


def load_records(artifact: Artifact) -> LoadedModel:
    """As `verification.load` would on a GPU."""
    target, model = artifact.manifest.targets[TARGET], artifact.manifest.model
    limits = limits_for(artifact, target, TARGET)
    plan = plan_memory(target, model.max_position_embeddings, limits)
    executor = RecordsExecutor(artifact, plan)
    return LoadedModel(artifact.path, artifact.manifest, TARGET, plan, executor)


class RecordsExecutor:
    """What verification asks of an executor."""

    def __init__(self, artifact, plan):
        self.plan, self.target = plan, artifact.manifest.targets[TARGET]
        self.vocab_size = artifact.manifest.model.vocab_size
        self.buffers = Buffers(self.target, plan, LoadedWeights(artifact, TARGET, 1))
        self._tapes = {name: artifact.tape(TARGET, name) for name in self.target.tapes}
        self._kernels = {kernel.name: kernel for kernel in self.target.kernels}
        self._slots = SlotTables(self.buffers.inputs, plan.max_num_seqs)
        self._layouts = page_layouts(read_module(artifact).attrs["cache_groups"], TARGET)

    def dims_of(self, frame):
        return *frame.dims[:3], self.plan.block_table_width

    def place(self, buffer):
        return Place(self.buffers.address(buffer), on_device=False)

    def send(self, frame):
        for arrival in frame.arrivals:
            self._slots.occupy(arrival)
        for name in _STEP_INPUTS & self.buffers.inputs.keys():
            values = getattr(frame, name)
            self.buffers.inputs[name][: len(values)] = values
        groups = [group.name for group in self.target.cache_groups]
        for name, table in zip(groups, frame.block_tables, strict=True):
            array = self.buffers.inputs[f"block_table_{name}"]
            rows, columns = table.shape
            array.reshape(-1, self.plan.block_table_width)[:rows, :columns] = table

    def step(self, frame):
        self.send(frame)
        self.play_part("step.any", frame, 0, len(self._tapes["step.any"].launches))
        num_rows = frame.dims[2]
        logits = self.buffers.slot(self.target.outputs["logits"], "f4")
        return logits[: num_rows * self.vocab_size].reshape(num_rows, self.vocab_size)

    def play_part(self, tape, frame, begin, end):
        symbols = dict(zip("TSRP", self.dims_of(frame), strict=True))
        symbols |= {name: self.plan.sizes[name] for name in "NL"}
        for call in self._calls(self._tapes[tape].launches[begin:end]):
            self._run(call, symbols)

    def _calls(self, launches) -> Iterator[list]:
        """Launches by regions: each of its kernels once."""
        call = []
        for launch in launches:
            others = {self._kernels[other.kernel].region for other in call}
            is_next = others and others != {self._kernels[launch.kernel].region}
            if is_next or launch.kernel in {other.kernel for other in call}:
                yield call
                call = []
            call.append(launch)
        yield call

    def _run(self, call, symbols):
        region = parse_function(self._kernels[call[0].kernel].math)
        homes, layer = {}, {}
        for launch in call:
            kernel = self._kernels[launch.kernel]
            for operand, buffer in zip(kernel.operands, launch.buffers, strict=True):
                homes[operand.kind, operand.place] = buffer
                layer |= {"i": buffer.layer} if isinstance(buffer, CacheBuffer) else {}
        places = {v: ("param", place) for place, v in enumerate(region.params)}
        places |= {v: ("result", place) for place, v in enumerate(region.results)}
        if any(places[value] not in homes for value in region.params):
            region = computed_part(region, FEW_ROWS)
        params = [self._value(value, homes[places[value]], symbols) for value in region.params]
        module = Module({region.name: region}, (region.name,), {}, "region")
        found = Interpreter(module, {}, symbols | layer).run(region.name, params)
        written = written_states(region)
        for value, result in zip(region.results, found, strict=True):
            home = homes.get(places[written.get(value, value)])
            if value.dtype is not DType.STATE and (home or value not in optional_results(region)):
                self._tensor(value, home, symbols).copy_(result)

    def _value(self, value, buffer, symbols):
        if value.dtype is DType.STATE:
            layout = self._layouts[buffer.group]
            pages = self.buffers.caches[buffer.group].nbytes // layout.dtype.itemsize
            group = next(g for g in self.target.cache_groups if g.name == buffer.group)
            shape = pages // group.layers // layout.num_elements, layout.num_elements
            return _Pages(layout, tensor_at(self.place(buffer), layout.dtype, shape))
        return self._tensor(value, buffer, symbols).clone()

    def _tensor(self, value, buffer, symbols):
        return tensor_at(self.place(buffer), value.dtype, value.type.concrete(symbols))


class _Pages:
    """The interpreter's cache in the pages of a layer."""

    def __init__(self, layout, memory: torch.Tensor):
        self._layout, self._memory = layout, memory

    def read(self, layer, places):
        keys, values = self._layout.tokens(self._memory)
        return keys[places // 16, places % 16], values[places // 16, places % 16]

    def write(self, layer, places, entries):
        for part, new in zip(self._layout.tokens(self._memory), entries, strict=True):
            part[places // 16, places % 16] = new
