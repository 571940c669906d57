"""What the player and the driver cost on a GPU: launches, graphs, copies, steps, weights.

    PYTHONPATH=tests python bench/gpu_player.py [--record FILE]

Kernels are those of the tests' fake model, whose sampling is one slow thread a row: of its steps
only the host's part means something. CUDA's compiler must be on the PATH.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from device import require_gpu
from fake_cuda_model import TARGET, build_fake_cuda, executor_of, machine_code, with_weights
from fake_steps import following
from report import BUILD, report

from tapeout.artifact import Artifact, Tape, TensorSpec
from tapeout.runtime.cuda.device import Device
from tapeout.runtime.cuda.executor import CudaExecutor
from tapeout.runtime.cuda.tapes import LoadedKernel, TapeForm
from tapeout.runtime.cuda.weights import place_weights, stream_weights
from tapeout.runtime.frame import Frame
from tapeout.runtime.limits import Limits
from tapeout.verification.frames import i32, packed_frame

NUM_LAUNCHES, REPEATS = 200, 50
COPIES_KIB = (1, 16, 100, 600, 2048)
LIMITS = Limits(max_model_len=256, max_num_seqs=256, max_num_batched_tokens=8192)
TENSOR_BYTES, NUM_TENSORS = 64 << 20, 64


def row(what: str, cpu_us: float, device_us: float | None = None) -> dict[str, Any]:
    """One line of the table."""
    return {"what": what, "host us": cpu_us, "device us": "" if device_us is None else device_us}


def timed(device: Device, what: str, run: Callable[[], object]) -> dict[str, Any]:
    """What queueing takes the host and what it takes the device, each time of many."""
    start, end = (device.event(with_time=True) for _ in range(2))
    run()
    device.synchronize()
    device.call("event_record", start)
    began = time.perf_counter()
    for _ in range(REPEATS):
        run()
    cpu_s = time.perf_counter() - began
    device.call("event_record", end)
    device.synchronize()
    return row(what, cpu_s / REPEATS * 1e6, device.elapsed_s(start, end) / REPEATS * 1e6)


def launch_rows(executor: CudaExecutor, artifact: Artifact) -> list[dict[str, Any]]:
    """A tape of launches that do nothing, and the same as a graph."""
    device, memory = executor.device, executor._memory
    names = [kernel.name for kernel in artifact.manifest.targets[TARGET].kernels]
    launch = artifact.tape(TARGET, "step.any").launches[0]
    form = TapeForm(
        Tape(launches=[launch] * NUM_LAUNCHES),
        {name: LoadedKernel(i, ()) for i, name in enumerate(names)},
    )
    places = executor._stages[0].places(memory.step_block)
    tape, dims = form.bind(device, memory, places), (0, 0, 0, 1)
    graph = device.add_graph([tape], dims)
    return [
        timed(device, f"{NUM_LAUNCHES} launches by a tape", lambda: device.run_tape(tape, dims)),
        timed(device, f"{NUM_LAUNCHES} launches in a graph", lambda: device.run_graph(graph)),
    ]


def copy_rows(executor: CudaExecutor) -> list[dict[str, Any]]:
    """Copies from pinned memory."""
    device, to = executor.device, executor._memory.step_addresses[0]
    rows = []
    for kib in COPIES_KIB:
        memory = device.allocate_pinned(kib << 10, "a copy")
        rows.append(timed(device, f"copy of {kib} KiB", lambda m=memory: device.copy_in(to, m)))
    return rows


def step_rows(executor: CudaExecutor) -> list[dict[str, Any]]:
    """Submitting decode steps."""
    rows = []
    for count in (1, 8, 64, 256):
        executor.run(frame := prompts_of(count))
        frame, submit_s = following(frame, 1), 0.0
        for _ in range(REPEATS):
            began = time.perf_counter()
            executor.submit(frame)
            submit_s += time.perf_counter() - began
            executor.wait()
        rows.append(row(f"submit a decode step of {count}", submit_s / REPEATS * 1e6))
    return rows


def prompts_of(count: int) -> Frame:
    """A step of prompts of three tokens."""
    prompts = [[i, 1, 2] for i in range(count)]
    table = i32(1 + np.arange(count)[:, None])
    rows = [3 * i + 2 for i in range(count)]
    return packed_frame(prompts, [range(3)] * count, (table,), LIMITS.max_model_len, rows)


def weight_rows(folder: Path, artifact: Path) -> list[dict[str, Any]]:
    """Hashing and streaming 4 GiB of the page cache."""
    data = np.random.default_rng(0).integers(0, 255, TENSOR_BYTES, np.uint8)
    specs = [TensorSpec(f"w/{i}", "U8", (TENSOR_BYTES,)) for i in range(NUM_TENSORS)]
    path = with_weights(folder / "big.tapeout", artifact, dict.fromkeys(specs, data), 4 << 30)
    began = time.perf_counter()
    big = Artifact.open(path, verify_weights=False)
    rows = [row("open 4 GiB, weights not verified", (time.perf_counter() - began) * 1e6)]
    device = Device(big.file_path(big.manifest.targets[TARGET].player))
    device.start()
    base = device.allocate(TENSOR_BYTES * NUM_TENSORS, "the weights")
    for num_threads in (4, 8, 16):
        began = time.perf_counter()
        addresses = place_weights(big.manifest.targets[TARGET], base)
        stream_weights(device, big, TARGET, addresses, num_threads)
        elapsed_s = time.perf_counter() - began
        rows.append(row(f"hash and stream 4 GiB, {num_threads} threads", elapsed_s * 1e6))
    device.close()
    return rows


@click.command()
@click.option("--record", type=click.Path(path_type=Path), help="Where the JSON goes besides.")
def main(record: Path | None) -> None:
    """Measures all."""
    require_gpu()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = build_fake_cuda(folder / "fake.tapeout", machine_code(folder))
        executor = executor_of(path, LIMITS)
        facts = {"gpu": executor.device.facts.name, "startup_s": executor.startup_s}
        rows = launch_rows(executor, Artifact.open(path)) + copy_rows(executor)
        rows += step_rows(executor)
        executor.close()
        rows += weight_rows(folder, path)
    report("gpu-player", rows, **facts)
    if record is not None:
        shutil.copy(BUILD / "gpu-player.json", record)


if __name__ == "__main__":
    main()
