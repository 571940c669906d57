"""Runs steps on a GPU: submitting one queues its copies and launches, waiting is for its event.

All memory is allocated when the executor is made, at the sizes that the plan says.
"""

from collections import deque
from threading import RLock

import numpy as np

from ...artifact import Artifact, Buffer, Launch, SlotBuffer
from ..frame import F32, Frame, Logprobs, StepResult
from ..machine import choose_num_threads
from ..memory import Place
from ..phases import Phases
from ..plan import MemoryPlan
from ..player import Dims, one_token_each
from ..step_thread import StepError, failed_by
from .device import Device
from .errors import CudaError
from .graphs import DecodeGraphs
from .inputs import InputBlock
from .launch_times import time_launches
from .memory import NUM_STAGES, DeviceMemory
from .slots import DeviceSlots
from .staging import LOGPROBS, Stage
from .tapes import TapeForm, Tapes
from .weights import stream_weights

CAPTURE_S = 2.0  # that capturing graphs may take at load
_ENTRIES = ("step", "sample")  # the tapes of a step, in order


class _Step:
    """A step that was submitted and not reported; `result` is there once it was waited for."""

    def __init__(self, frame: Frame, stage: Stage) -> None:
        self.frame, self.stage = frame, stage
        self.result: StepResult | None = None


class CudaExecutor:
    """An opened artifact on a device that it owns; `close` frees all of it.

    `submit` and `wait` are for one caller.
    """

    def __init__(
        self,
        artifact: Artifact,
        target_name: str,
        device: Device,
        plan: MemoryPlan,
        num_threads: int | None = None,
        capture_s: float = CAPTURE_S,
    ) -> None:
        self._target = artifact.manifest.targets[target_name]
        self.vocab_size = artifact.manifest.model.vocab_size
        self.plan, self._bounds, self.device = plan, plan.bounds, device
        self.num_threads = choose_num_threads(num_threads)
        self.uses_graphs = True  # where there are some for a step
        self.player_s = 0.0  # that the device has computed so far
        self.startup_s = Phases()
        self.device_bytes: dict[str, int] = {}  # what the device has lent, by what for
        self._lock = RLock()
        self._unreported: deque[_Step | None] = deque()  # None: it failed
        self._num_queued = 0
        self._failure: Exception | None = None
        try:
            self._load(artifact, target_name, capture_s)
        except BaseException:
            device.close()
            raise

    def submit(self, frame: Frame) -> None:
        """Queues a step, whose arrays must not change until it has reported."""
        with self._lock:
            self._unreported.append(self._queue(frame))

    def wait(self) -> StepResult:
        """The result of the oldest step submitted.

        Raises StepError if it failed, and ever after: the tables are in an unknown state.
        """
        with self._lock:
            assert self._unreported or self._failure, "no step was submitted"
            step = self._unreported[0] if self._unreported else None
            result = self._finish(step)
            if self._unreported:  # not when an interrupt ended the wait: it may be repeated
                self._unreported.popleft()
            if result is None:
                raise failed_by(self._failure)
            return result

    def run(self, frame: Frame) -> StepResult:
        """Computes one step."""
        self.submit(frame)
        return self.wait()

    def step(self, frame: Frame) -> F32:
        """Computes a step up to its logits, f32[R, V], by the tape."""
        self.send(frame)
        tape = self._tape(self._form("step", frame.dims), self._stages[0])
        self.device.run_tape(tape, self.dims_of(frame))
        return self.logits(len(frame.logit_rows))

    def send(self, frame: Frame) -> None:
        """Copies a step's inputs to where launches find them: `play_part` plays some of these."""
        assert not self._unreported, "steps are in flight"
        self._send(frame, self._stages[0], self._memory.step_block)
        self.device.synchronize()

    def play_part(self, tape: str, frame: Frame, begin: int, end: int) -> None:
        """Plays launches `begin` to `end` of a tape for the step that was sent."""
        bound = self._tape(self._tapes.by_name[tape], self._stages[0])
        self.device.run_tape_part(bound, self.dims_of(frame), begin, end)
        self.device.synchronize()

    def place(self, buffer: Buffer) -> Place:
        """Where launches find a buffer: inputs of a step as if it were the largest."""
        places = self._stages[0].places(self._memory.step_block)
        is_on_host = isinstance(buffer, SlotBuffer) and buffer.slot in places.slots
        return Place(self._memory.address(buffer, places), on_device=not is_on_host)

    def num_bytes(self, buffer: Buffer) -> int:
        """What a launch may read from a buffer's start on, whatever the step's size."""
        return self._memory.num_bytes(buffer)

    def dims_of(self, frame: Frame) -> Dims:
        """A step's T, S, R and P as launches are told them: tables have the load's widest rows."""
        return *frame.dims[:3], self._bounds[3]

    def time_launches(self, frame: Frame) -> list[tuple[Launch, float]]:
        """Every launch of a step with the seconds it adds; the step is computed many times."""
        assert not self._unreported, "steps are in flight"
        stage = self._stages[0]
        self._send(frame, stage, self._memory.step_block)
        places = stage.places(self._memory.step_block)
        forms = [self._form(entry, frame.dims) for entry in _ENTRIES]

        def bind(form: TapeForm, num_launches: int) -> int:
            return form.bind(self.device, self._memory, places, num_launches)

        times_s = time_launches(self.device, forms, bind, self.dims_of(frame))
        launches = [launch for form in forms for launch in form.launches]
        return list(zip(launches, times_s, strict=True))

    def logits(self, num_rows: int) -> F32:
        """The last step's logits, f32[num_rows, V]."""
        logits = np.empty((num_rows, self.vocab_size), np.float32)
        self.device.copy_out(logits, self._memory.slot(self._target.outputs["logits"]))
        self.device.synchronize()
        return logits

    @property
    def graph_sizes(self) -> list[int]:
        """Numbers of sequences whose decode steps are captured as graphs, in growing order."""
        return self._graphs.sizes

    def close(self) -> None:
        """Frees the device after what is queued; nothing may be run afterwards."""
        with self._lock:
            self._failure = self._failure or StepError("the executor was closed")
            self._unreported = deque(None for _ in self._unreported)
            self.device.close()

    def _load(self, artifact: Artifact, target_name: str, capture_s: float) -> None:
        device, plan, timed = self.device, self.plan, self.startup_s.timed
        with timed("context"):
            device.start()
        self.device_bytes["context"] = device.num_taken_bytes()
        with timed("memory"):
            self._memory = DeviceMemory(device, self._target, plan)
            parts = (device, self._memory, self._target, plan)
            self._stages = [Stage(*parts, number) for number in range(NUM_STAGES)]
            self._slots = DeviceSlots(device, self._memory, plan)
        with timed("weights"):
            addresses = self._memory.weights
            stream_weights(device, artifact, target_name, addresses, self.num_threads)
        with timed("kernels"):
            self._tapes = Tapes(artifact, target_name, device)
            self._bound: dict[tuple[TapeForm, Stage], int] = {}
        with timed("graphs"):
            self._graphs = DecodeGraphs(device, self._memory, self._stages, self._tapes, plan.sizes)
            self._graphs.capture(capture_s)
            device.synchronize()
        self.device_bytes["planned"] = plan.total_bytes
        others = device.num_taken_bytes() - sum(self.device_bytes.values())
        self.device_bytes["kernels, graphs and rounding"] = others

    def _queue(self, frame: Frame) -> _Step | None:
        if self._failure is None:
            try:
                stage = self._stages[self._num_queued % NUM_STAGES]
                if len(self._unreported) >= NUM_STAGES:
                    self._finish(self._unreported[-NUM_STAGES])  # whose stage this is
                self._play(frame, stage)
                self._num_queued += 1
                return _Step(frame, stage)
            except Exception as error:
                self._failure = self._failure or error
        return None

    def _play(self, frame: Frame, stage: Stage) -> None:
        graph = self._graphs.find(frame.dims) if self.uses_graphs else None
        self._send(frame, stage, graph.inputs if graph else self._memory.step_block)
        self.device.call("event_record", stage.start)
        if graph is not None:
            self.device.run_graph(graph.numbers[stage])
        else:
            for entry in _ENTRIES:
                tape = self._tape(self._form(entry, frame.dims), stage)
                self.device.run_tape(tape, self.dims_of(frame))
        if frame.wants_logprobs:
            stage.fetch_logprobs(frame.dims[2])
        self.device.call("event_record", stage.end)

    def _send(self, frame: Frame, stage: Stage, block: InputBlock) -> None:
        for name, dim, bound in zip("TSRP", frame.dims, self._bounds, strict=True):
            assert dim <= bound, f"a step has {name}={dim}, the executor was made for {bound}"
        if one_token_each(frame.dims):  # whose tapes do without the numbers of the rows
            in_order = frame.query_start[:-1].tobytes() == frame.logit_rows.tobytes()
            assert in_order, f"logit_rows={frame.logit_rows} of a decode step are not 0, 1, ..."
        self._slots.update(frame, stage.settings)
        stage.send(frame, block)

    def _finish(self, step: _Step | None) -> StepResult | None:
        """Waits for a step; None if it failed."""
        if step is None:
            return None
        if step.result is None:
            step.result = self._await(step)
        return step.result

    def _await(self, step: _Step) -> StepResult | None:
        frame, stage, num_rows = step.frame, step.stage, step.frame.dims[2]
        try:
            self.device.call("event_wait", stage.end)
            self.player_s += self.device.elapsed_s(stage.start, stage.end)
        except CudaError as error:
            self._failure = self._failure or error
            return None
        logprobs = None
        if frame.wants_logprobs:
            logprobs = Logprobs(*(stage.result(name, num_rows) for name in LOGPROBS))
        return StepResult(frame.step_id, stage.result("sampled", num_rows), logprobs)

    def _form(self, entry: str, dims: Dims) -> TapeForm:
        num_tokens, _, num_rows, _ = dims
        if entry == "sample":
            return self._tapes.choose(entry, num_rows, False)
        return self._tapes.choose(entry, num_tokens, one_token_each(dims))

    def _tape(self, form: TapeForm, stage: Stage) -> int:
        """The tape whose inputs lie as at the bounds: for steps of any size."""
        key = form, stage
        if key not in self._bound:
            places = stage.places(self._memory.step_block)
            self._bound[key] = form.bind(self.device, self._memory, places)
        return self._bound[key]
