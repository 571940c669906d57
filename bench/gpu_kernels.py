"""Time of every kernel of decode steps, from a trace: what a step's milliseconds are spent on.

PYTHONPATH=tests python bench/gpu_kernels.py ARTIFACT [--batch 1 --context 128]
"""

import click
import torch
from torch.profiler import ProfilerActivity, profile

from tapeout import LLM, SamplingParams

NUM_STEPS = 32


def trace(llm: LLM, batch: int, context: int) -> None:
    """Prints the kernels of ``NUM_STEPS`` decode steps, the longest first."""
    ids = [[(7919 * i + 17 * b) % 30000 + 5 for i in range(context)] for b in range(batch)]
    prompts = [{"prompt_token_ids": prompt} for prompt in ids]
    params = SamplingParams(max_tokens=NUM_STEPS + 1, temperature=0.0, ignore_eos=True)
    llm.generate(prompts, params, use_tqdm=False)
    with profile(activities=[ProfilerActivity.CUDA]) as traced:
        llm.generate(prompts, params, use_tqdm=False)
        torch.cuda.synchronize()
    found: dict[str, list[float]] = {}
    for event in traced.events():
        found.setdefault(event.name, []).append(event.device_time)
    print(f"\nbatch {batch}, context {context}: microseconds a step, launches a step, each")
    for name, times in sorted(found.items(), key=lambda entry: -sum(entry[1]))[:24]:
        each, count = sum(times) / len(times), len(times) / NUM_STEPS
        print(f"{sum(times) / NUM_STEPS:9.1f} {count:6.1f} {each:8.2f}  {name[:80]}")


@click.command()
@click.argument("artifact")
@click.option("--cases", default="1x128,32x128,1x2048,32x2048", help="Batches and contexts.")
def main(artifact: str, cases: str) -> None:
    """Traces some decode steps of an artifact."""
    torch.zeros(1, device="cuda")
    limits = {"max_model_len": 9216, "max_num_seqs": 256, "max_num_batched_tokens": 8192}
    llm = LLM(artifact, skip_tokenizer_init=True, enable_prefix_caching=False, **limits)
    for case in cases.split(","):
        batch, context = map(int, case.split("x"))
        trace(llm, batch, context)
    llm._close()


if __name__ == "__main__":
    main()
