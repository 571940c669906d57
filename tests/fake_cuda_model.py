"""The fake model for a GPU: its kernels are a page of CUDA C++, or that page as a host library."""

import ctypes
import subprocess
from functools import cache
from pathlib import Path

import fake_model
import msgspec
import numpy as np
from fake_model import CHAT, EOS, SALT, VOCAB, make_tokenizer
from fake_steps import LENGTH

from tapeout.artifact import (
    Artifact,
    ArtifactWriter,
    Cubin,
    GridTerm,
    Kernel,
    Manifest,
    Model,
    TensorSpec,
    encode,
)
from tapeout.runtime.cuda.device import Device
from tapeout.runtime.cuda.executor import CudaExecutor
from tapeout.runtime.limits import Limits
from tapeout.runtime.plan import plan_memory

HERE = Path(__file__).parent
PLAYER = HERE.parent / "codegen" / "player" / "cuda_player.c"
TARGET = "cuda:sm_90"
TAPES = {"step.decode2": (2, True), "step.any": (None, False), "sample.any": (None, False)}
LIMITS = Limits(
    max_model_len=LENGTH, max_num_seqs=8, max_num_batched_tokens=200, max_logit_rows=200
)
EARLY = ("hash_pages", "report")
_ONE = GridTerm({"": 1}, 1, 1)
_GRIDS = {"T": [GridTerm({"T": 1}, 3, 3), _ONE, _ONE], "R": [GridTerm({"R": 1}, 1, 1), _ONE, _ONE]}


def build_fake_cuda(path: Path, code: bytes, target_name: str = TARGET, **changes) -> Path:
    """Writes the artifact; `code` is what the driver loads, `changes` are to the target."""
    with ArtifactWriter(path) as writer:
        writer.add_bytes("kernels/cuda-sm_90/all.cubin", code)
        writer.add_bytes("player/player_cuda.so", _library(path.parent, PLAYER, "gcc").read_bytes())
        for name, (max_rows, one_token_each) in TAPES.items():
            tape = _tape(name.split(".")[0], max_rows, one_token_each)
            writer.add_bytes(f"tapes/cuda-sm_90/{name}.json", encode(tape))
        writer.add_bytes("tokenizer.json", make_tokenizer().to_str().encode())
        writer.add_bytes("tokenizer_config.json", b'{"eos_token": "<eos>", "bos_token": null}')
        writer.add_bytes("chat_template.jinja", CHAT.encode())
        weights = writer.weights("cuda-sm_90", [TensorSpec("salt", "I64", (1,))])
        weights.add("salt", np.array([SALT], np.int64).tobytes())
        target = msgspec.structs.replace(_target(weights.finish()), **changes)
        targets = {target_name: target}
        model = Model(
            architecture="FakeForCausalLM",
            dtype="f32",
            vocab_size=VOCAB,
            max_position_embeddings=256,
            eos_token_ids=[EOS],
            bos_token_id=None,
        )
        return writer.commit(Manifest(tool={}, model=model, targets=targets))


def with_all_targets(path: Path, *folders: Path) -> Path:
    """An artifact with the targets of several."""
    with ArtifactWriter(path) as writer:
        added, targets = set(), {}
        for artifact in map(Artifact.open, folders):
            for name in set(artifact.manifest.files) - added:
                writer.add_bytes(name, artifact.read(name))
            added |= set(artifact.manifest.files)
            targets |= artifact.manifest.targets
        return writer.commit(msgspec.structs.replace(artifact.manifest, targets=targets))


def with_weights(path: Path, folder: Path, weights, max_file_bytes: int) -> Path:
    """The artifact with other weights, given by their specs."""
    base = Artifact.open(folder)
    with ArtifactWriter(path) as writer:
        for name in base.manifest.files:
            if not name.startswith("weights/"):
                writer.add_bytes(name, base.read(name))
        made = writer.weights("cuda-sm_90", list(weights), max_file_bytes)
        for spec, data in weights.items():
            made.add(spec.name, data)
        target = msgspec.structs.replace(base.manifest.targets[TARGET], weights=made.finish())
        return writer.commit(msgspec.structs.replace(base.manifest, targets={TARGET: target}))


def _tape(entry, max_rows, one_token_each):
    tape = fake_model.STEP if entry == "step" else fake_model.SAMPLE
    launches = [
        msgspec.structs.replace(launch, grid=_GRIDS["T" if "T" in launch.scalars[0] else "R"])
        for launch in tape.launches
    ]
    return msgspec.structs.replace(
        tape, launches=launches, max_rows=max_rows, one_token_each=one_token_each
    )


def _target(weights):
    names = ("write_tags", "hash_pages", "choose", "report")
    return msgspec.structs.replace(
        fake_model._target(weights, ()),
        player="player/player_cuda.so",
        tapes={name: f"tapes/cuda-sm_90/{name}.json" for name in TAPES},
        kernels=[
            Kernel(name=n, region=n, anchor="", math="", source="", cubin=_cubin(n)) for n in names
        ],
    )


def _cubin(name):
    """The largest shared memory that a block can have, to see that it is asked for."""
    file = "kernels/cuda-sm_90/all.cubin"  # nobody has its text
    counts = {"num_warps": 1, "shared_bytes": 100_000, "registers": 32, "local_bytes": 0}
    return Cubin(file=file, assembly=file, entry=name, begins_early=name in EARLY, **counts)


def machine_code(folder: Path) -> bytes:
    """The kernels for sm_90, by CUDA's compiler."""
    target = folder / "fake_gpu.cubin"
    command = ["nvcc", "-arch=sm_90", "-cubin", HERE / "fake_gpu.cu", "-o", target]
    subprocess.run(command, check=True)
    return target.read_bytes()


def host_code(folder: Path) -> bytes:
    """The path of the kernels as a library, which the fake driver takes for machine code."""
    return str(_library(folder, HERE / "fake_gpu.cu", "g++")).encode() + b"\0"


def executor_of(folder, limits=LIMITS, **options):
    """An executor on the device that the driver gives."""
    artifact = Artifact.open(folder)
    target, model = artifact.manifest.targets[TARGET], artifact.manifest.model
    device = Device(artifact.file_path(target.player))
    longest, device_bytes = model.max_position_embeddings, device.facts.memory_bytes
    plan = plan_memory(target, longest, limits, device_bytes)
    return CudaExecutor(artifact, TARGET, device, plan, **options)


def counted(driver, what):
    """One of the fake driver's counts."""
    return ctypes.c_int.in_dll(driver, f"fake_num_{what}").value


@cache
def fake_driver(folder: Path) -> ctypes.CDLL:
    """The driver's library; its path is in `_name`, its counts are variables of it."""
    return ctypes.CDLL(str(_library(folder, HERE / "fake_driver.c", "gcc")))


def _library(folder: Path, source: Path, compiler: str) -> Path:
    target = folder / f"{source.stem}.so"
    language = ["-x", "c++"] if source.suffix == ".cu" else ["-std=gnu11"]
    command = [compiler, "-O1", *language, "-shared", "-fPIC", source, "-o", target, "-ldl", "-lm"]
    subprocess.run(command, check=True)
    return target
