"""Measure tapeout-nano: right answers per task, on exercises that training never saw.

    python -m examples.nano.evaluate --count 200 --dtype bfloat16

An answer counts when `tasks.check` accepts it and the model ended it with its end token. Decoding
is greedy, through transformers.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from . import tasks
from .example import Example, ask
from .novelty import disguise

CHECKPOINT = Path(__file__).parent / "checkpoint"


def generate(model: Any, tokenizer: Any, examples: list[Example], max_new_tokens: int) -> list[str]:
    """Greedy replies, with special tokens, from the prompts of one batch."""
    prompts = [
        tokenizer.apply_chat_template(
            example.messages, tools=example.tools, tokenize=False, add_generation_prompt=True
        )
        for example in examples
    ]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    inputs = inputs.to(model.device)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    replies = output[:, inputs["input_ids"].shape[1] :]
    return list(tokenizer.batch_decode(replies, skip_special_tokens=False))


def is_right(example: Example, reply: str, end: str) -> bool:
    """Whether the reply ended and its text is right."""
    text, ended, _ = reply.partition(end)
    return bool(ended) and tasks.check(example.task, text, example.answer)


def with_unfamiliar_words(example: Example, rng: random.Random) -> Example:
    """The same exercise about words that no task draws; sums stay as they are."""
    turn = (example.messages[0]["content"], example.answer)
    request, answer = disguise(example.task, turn, rng)
    return replace(example, messages=ask(request), answer=answer)


def measure(model: Any, tokenizer: Any, task: str, args: argparse.Namespace) -> dict[str, Any]:
    """Accuracy on one task, with the first few mistakes."""
    rng = random.Random(f"evaluate/{args.seed}/{task}")
    examples = [tasks.make(task, rng, unseen=args.unseen) for _ in range(args.count)]
    if args.unfamiliar:
        examples = [with_unfamiliar_words(example, rng) for example in examples]
    examples.sort(key=lambda example: len(str(example.tools)) + len(str(example.messages)))
    wrong = []
    for start in range(0, len(examples), args.batch_size):
        batch = examples[start : start + args.batch_size]
        replies = generate(model, tokenizer, batch, args.max_new_tokens)
        for example, reply in zip(batch, replies, strict=True):
            if not is_right(example, reply, tokenizer.eos_token):
                prompt = example.messages[-1]["content"]
                wrong.append({"prompt": prompt, "answer": example.answer, "reply": reply})
    accuracy = 1 - len(wrong) / len(examples)
    return {"task": task, "count": len(examples), "accuracy": accuracy, "wrong": wrong[:8]}


def main() -> None:
    """Print one line per task; with --show-wrong also mistakes, with --json a file of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--count", type=int, default=200, help="exercises per task")
    parser.add_argument("--tasks", nargs="+", choices=list(tasks.TASKS), default=list(tasks.TASKS))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--unseen", action="store_true", help="wordings that training never uses")
    parser.add_argument("--unfamiliar", action="store_true", help="words that no task draws")
    parser.add_argument("--show-wrong", action="store_true")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(
        args.checkpoint, dtype=getattr(torch, args.dtype)
    ).to(args.device)
    results = []
    for task in args.tasks:
        result = measure(model, tokenizer, task, args)
        results.append(result)
        print(f"{task:10s} {result['accuracy']:8.2%} of {result['count']}", flush=True)
        for mistake in result["wrong"] if args.show_wrong else []:
            print("   ", json.dumps(mistake), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
