"""A model on a GPU: first whether it is right, then how fast it is, against what the card can do.

    PYTHONPATH=tests python bench/gpu.py --shape llama-3.2-1b [--record FILE] [--rows step,mixed]

Weights are random, of a standard deviation of 0.02. Right means: logits of a packed prefill, of
decode steps and of a mixed step, no further from transformers' fp32 than 1.5 times its bf16 is.
"""

import gc
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import click
import numpy as np
import torch
from device import require_gpu
from experts_read import experts_read
from gpu_rows import Bench, Row, card_limits
from report import BUILD, report
from steps import Sequence, Steps
from transformers import AutoConfig, AutoModelForCausalLM

from tapeout import LLM, compile_model
from tapeout.artifact import Artifact
from tapeout.frontend.dummy_checkpoint import DummyCheckpoint
from tapeout.runtime.bench_startup import StartupOptions, measure_startup

TARGET = "cuda:sm_90"
SHAPES = json.loads((Path(__file__).parent / "gpu_shapes.json").read_text())
LENGTHS = [1, 17, 64, 300, 620]
STEPS = [(1, 128), (1, 2048), (8, 128), (8, 2048), (32, 128), (32, 2048), (64, 128), (64, 2048)]
STEPS += [(128, 128), (256, 128)]
PREFILLS = [(1, 128), (1, 1024), (1, 8192), (8, 2048)]
LIMITS = {"max_model_len": 9216, "max_num_seqs": 256}
Cases = list[tuple[int, int]]
_EXPERTS = ".experts."  # in the names of their weights
_TABLES = ("model.embed_tokens.weight", "lm_head.weight")


def read_cases(text: str) -> Cases:
    """Pairs of numbers, as `8x128,32x2048`."""
    pairs = (case.split("x") for case in text.split(",") if case)
    return [(int(batch), int(context)) for batch, context in pairs]


def make_checkpoint(shape: str, folder: Path) -> Path:
    """A bf16 checkpoint of random weights, made on the GPU."""
    config = AutoConfig.for_model(**SHAPES[shape])
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()  # torch would keep the memory from the model that is measured
    return folder


def compile_random(shape: str, artifact: Path, folder: Path) -> None:
    """Compiles weights that were never a checkpoint, drawn by the GPU as they are written."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(SHAPES[shape] | {"dtype": "bfloat16"}))

    def read(source: DummyCheckpoint, name: str) -> torch.Tensor:
        dtype, shape = source.shapes[name]
        if not dtype.is_floating_point:
            return torch.zeros(shape, dtype=dtype)
        mean = 1.0 if len(shape) == 1 else 0.0
        return torch.empty(shape, dtype=dtype, device="cuda").normal_(mean, 0.02).cpu()

    torch.manual_seed(0)
    with patch.object(DummyCheckpoint, "read", read):
        compile_model(folder, artifact, target=TARGET, load_format="dummy")


def logit_ratios(checkpoint: Path, artifact: Path) -> list[Row]:
    """How much further from fp32 we are than transformers' bf16, for each kind of step."""
    vocab_size = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    random = np.random.default_rng(0)
    prompts = [random.integers(0, vocab_size, length).tolist() for length in LENGTHS]
    truth, theirs = (reference(checkpoint, prompts, t) for t in (torch.float32, torch.bfloat16))
    scale = (theirs - truth).norm()
    ours = {"prefill": prefill, "decode": decode, "mixed": mixed}
    rows = []
    for name, run in ours.items():
        steps = Steps(artifact, kv_cache_bytes=1 << 30)
        logits = torch.from_numpy(np.concatenate(run(steps, prompts)))
        steps.close()
        rows.append(Row(f"logits {name}", float((logits - truth).norm() / scale), "x bf16"))
    return rows


def reference(checkpoint: Path, prompts: list[list[int]], dtype: torch.dtype) -> torch.Tensor:
    """transformers' logits of all prompts, f32[tokens, V] on the host."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype, device_map="cuda")
    with torch.no_grad():
        rows = [model(torch.tensor([p], device="cuda")).logits[0].float().cpu() for p in prompts]
    del model
    torch.cuda.empty_cache()
    return torch.cat(rows)


def prefill(steps: Steps, prompts: list[list[int]]) -> list[Any]:
    """All prompts in two steps, as their tokens fit in."""
    first = steps.run([Sequence(p) for p in prompts[:-1]], LENGTHS[:-1])
    return [*first, *steps.run([Sequence(prompts[-1])], LENGTHS[-1:])]


def decode(steps: Steps, prompts: list[list[int]]) -> list[Any]:
    """The first prompt and the last 16 tokens of all others one by one, together."""
    sequences = [Sequence(p) for p in prompts]
    long = [(s, n) for s, n in zip(sequences, LENGTHS, strict=True) if n > 16]
    parts = {id(s): steps.run([s], [n - 16]) for s, n in long}
    kept = [parts.get(id(s), []) for s in sequences]
    for _ in range(16):
        going = [i for i, s in enumerate(sequences) if s.num_cached < LENGTHS[i]]
        found = steps.run([sequences[i] for i in going], [1] * len(going))
        for i, logits in zip(going, found, strict=True):
            kept[i].append(logits)
    return [np.concatenate(parts) for parts in kept]


def mixed(steps: Steps, prompts: list[list[int]]) -> list[Any]:
    """Chunks of some beside single tokens of others."""
    sequences, cuts = [Sequence(p) for p in prompts], [0, 16, 40, 299, 100]
    first = steps.run(sequences[1:], cuts[1:])
    second = steps.run(sequences, [n - cut for n, cut in zip(LENGTHS, cuts, strict=True)])
    return [second[0], *map(np.concatenate, zip(first, second[1:], strict=True))]


def speed_rows(
    artifact: Path, limits: dict[str, float], kinds: set[str], steps: list[tuple[int, int]]
) -> list[Row]:
    """The rows that `kinds` names; each is printed as it comes."""
    options = LIMITS | {"max_num_batched_tokens": 8192, "enable_prefix_caching": False}
    llm = LLM(artifact, skip_tokenizer_init=True, **options)
    rows = [Row(f"load: {k}", v, "s") for k, v in llm.executor.startup_s.items()]
    rows.append(Row("graphs", len(llm.executor.graph_sizes), ""))
    bench = Bench(llm, weights_of(artifact), kv_bytes_of(artifact), limits["read bytes/s"])
    jobs = [("step", bench.step_ms, arguments) for arguments in steps]
    jobs += [("prefill", bench.prefill_ms, arguments) for arguments in PREFILLS]
    jobs += [("mixed", bench.mixed, ())]
    for kind, measure, arguments in jobs:
        if kind in kinds:
            rows += (found := measure(*arguments))
            print(*found, sep="\n", flush=True)
    llm._close()
    return rows


def weights_of(artifact: Path) -> Callable[[int], float]:
    """Bytes of weights that a decode step of a batch reads; of routed experts those that uniform
    choices are expected to hit."""
    target = Artifact.open(artifact).manifest.targets[TARGET]
    tensors = target.weights.tensors
    tables = [tensors[name].bytes for name in _TABLES if name in tensors]
    embedding = tables[0] if len(tables) == len(_TABLES) else 0  # a tied one is read as the head
    routing = next((kernel.routing for kernel in target.kernels if kernel.routing), None)
    experts = sum(tensor.bytes for name, tensor in tensors.items() if _EXPERTS in name)
    others = target.weights.total_bytes - embedding - experts

    def read(batch: int) -> float:
        left_out = 1 - routing.num_chosen / routing.num_experts if routing else 0.0
        return others + experts * (1 - left_out**batch)

    return read


def expert_rows(artifact: Path, steps: list[tuple[int, int]]) -> list[Row]:
    """Distinct experts that a step reads in a layer, in the mean; none without routers."""
    model = Artifact.open(artifact).manifest
    if not any(kernel.routing for kernel in model.targets[TARGET].kernels):
        return []
    random, rows = np.random.default_rng(0), []
    for batch, context in steps:
        prompts = random.integers(0, model.model.vocab_size, (batch, context)).tolist()
        mean = float(np.mean(experts_read(artifact, prompts)))
        rows.append(Row(f"experts read b{batch} ctx {context}", mean, "a layer"))
    return rows


def kv_bytes_of(artifact: Path) -> int:
    """Bytes of a token in the cache."""
    groups = Artifact.open(artifact).manifest.targets[TARGET].cache_groups
    return sum(g.layers * g.page_bytes_per_layer // g.page_size_tokens for g in groups)


def startup_rows(artifact: Path) -> list[Row]:
    """Processes of their own, from their start to the first token."""
    found = measure_startup(artifact, StartupOptions(repeats=1), LIMITS)
    rows = []
    for name, run in (("first", found.first), ("second", found.median)):
        times = run.parts() | {"load": sum(run.load_s.values())}
        rows += [Row(f"start-up {name}: {k}", v, "s") for k, v in times.items()]
        rows.append(Row(f"start-up {name}", run.total_s, "s"))
    return rows + [Row(f"memory: {k}", v / 2**20, "MiB") for k, v in found.device_bytes.items()]


def build(shape: str, checkpoint: Path, artifact: Path, with_checkpoint: bool) -> list[Row]:
    """The artifact of a shape; references of logits want a checkpoint besides."""
    start = time.perf_counter()
    if with_checkpoint:
        make_checkpoint(shape, checkpoint)
        gc.collect()  # the model is in cycles; its memory is wanted back
        torch.cuda.empty_cache()
    compiled = time.perf_counter()
    if with_checkpoint:
        compile_model(checkpoint, artifact, target=TARGET)
    else:
        compile_random(shape, artifact, checkpoint)
    torch.cuda.empty_cache()
    ended = time.perf_counter()
    return [Row("checkpoint", compiled - start, "s"), Row("compile", ended - compiled, "s")]


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="llama-3.2-1b")
@click.option("--rows", default="logits,experts,step,prefill,mixed,startup", help="Kinds of rows.")
@click.option("--steps", default=",".join(f"{b}x{c}" for b, c in STEPS), help="Decode steps.")
@click.option("--record", type=click.Path(path_type=Path), help="Where the JSON goes besides.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps checkpoint and artifact.")
def main(shape: str, rows: str, steps: str, record: Path | None, folder: Path | None) -> None:
    """Measures one shape."""
    require_gpu()
    kinds, limits = set(rows.split(",")), card_limits()
    torch.cuda.empty_cache()
    print(limits, flush=True)
    with TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        checkpoint, artifact = place / f"{shape}-checkpoint", place / f"{shape}.tapeout"
        found = []
        if not artifact.exists():
            found += build(shape, checkpoint, artifact, "logits" in kinds)
        if "logits" in kinds:
            found += (ratios := logit_ratios(checkpoint, artifact))
            print(*ratios, sep="\n", flush=True)
        chosen = read_cases(steps)
        if "experts" in kinds:
            found += (counts := expert_rows(artifact, chosen))
            print(*counts, sep="\n", flush=True)
        found += speed_rows(artifact, limits, kinds, chosen)
        if "startup" in kinds:
            found += startup_rows(artifact)
    facts = {"shape": shape, "limits": limits, "gpu": torch.cuda.get_device_name()}
    report(f"gpu-{shape}", [row.json() for row in found], **facts)
    if record is not None:
        shutil.copy(BUILD / f"gpu-{shape}.json", record)


if __name__ == "__main__":
    main()
