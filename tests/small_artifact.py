"""A small whole artifact, written in milliseconds, for the tests of its reader and writer."""

from pathlib import Path

import numpy as np

from tapeout.artifact import (
    Artifact,
    ArtifactWriter,
    CacheBuffer,
    CacheGroup,
    Input,
    InputBuffer,
    Kernel,
    Launch,
    Manifest,
    Model,
    Slot,
    SlotBuffer,
    Tape,
    Target,
    TensorSpec,
    WeightBuffer,
    Weights,
    encode,
)

STEP = Tape(
    launches=[
        Launch(
            kernel="embed",
            buffers=[
                InputBuffer("token_ids"),
                WeightBuffer("table"),
                CacheBuffer("full", 1),
                SlotBuffer(0),
            ],
            scalars=[{"T": 8}, {"": 64, "R": 4}],
        )
    ]
)
TENSORS = [
    TensorSpec("table", "F32", (5, 3)),  # 60 bytes: needs padding
    TensorSpec("layer0.norm/0", "BF16", (32,)),
    TensorSpec("layer0.norm/1", "BF16", (32,)),
]


def tensor_bytes(spec: TensorSpec, label: str) -> bytes:
    """What the tensor holds in the artifact of that label."""
    seed = sum(map(ord, label + spec.name))
    return np.random.default_rng(seed).bytes(spec.bytes)


def write_small_artifact(path: Path, label: str = "new") -> Path:
    """Writes the artifact; every file but the kernels depends on `label`."""
    with ArtifactWriter(path) as writer:
        writer.add_bytes("graph.ir", f"module of {label}\n".encode())
        writer.add_bytes("kernels/cpu/x86-64-v3.so", b"\x7fELF kernels")
        writer.add_bytes("player/player.so", b"\x7fELF player")
        writer.add_bytes("tapes/cpu/step.json", encode(STEP))
        writer.add_bytes("tokenizer.json", b"")
        weights = writer.weights("cpu", TENSORS, max_file_bytes=128)
        for spec in TENSORS:
            weights.add(spec.name, tensor_bytes(spec, label))
        return writer.commit(manifest(weights.finish(), label))


def manifest(weights: Weights, label: str = "new") -> Manifest:
    """The manifest, without its files."""
    target = Target(
        batch_invariant=True,
        levels={"x86-64-v3": "kernels/cpu/x86-64-v3.so"},
        player="player/player.so",
        inputs=[Input(name="token_ids", dtype="i32", bytes={"T": 4})],
        slots=[Slot(bytes=[{"R": 20}, {"": 64}])],
        outputs={"logits": 0},
        cache_groups=[
            CacheGroup(
                name="full", layers=2, page_size_tokens=16, page_bytes_per_layer=512, window=None
            )
        ],
        tapes={"step": "tapes/cpu/step.json"},
        weights=weights,
        kernels=[
            Kernel(name="embed", region="embed", anchor="embedding", math="y = w[x]", source="")
        ],
    )
    model = Model(
        architecture="LlamaForCausalLM",
        dtype="f32",
        vocab_size=5,
        max_position_embeddings=64,
        eos_token_ids=[2],
        bos_token_id=None,
    )
    return Manifest(tool={"tapeout": label}, model=model, targets={"cpu": target})


def manifest_of(writer: ArtifactWriter, weights: Weights) -> Manifest:
    """The manifest of an artifact of weights alone; adds the files that one cannot be without."""
    for name in ("kernels/cpu/x86-64-v3.so", "player/player.so", "tapes/cpu/step.json"):
        writer.add_bytes(name, b"")
    return manifest(weights)


def label_of(path: Path) -> str:
    """The label of a whole artifact, opened and verified."""
    artifact = Artifact.open(path)
    label = artifact.manifest.tool["tapeout"]
    assert artifact.read("graph.ir") == f"module of {label}\n".encode()
    for spec in TENSORS:
        assert artifact.weight("cpu", spec.name).tobytes() == tensor_bytes(spec, label)
    return label
