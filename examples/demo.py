"""Compiles tapeout-nano, asks it one question of each of its tasks and checks the answers.

make demo
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from examples.nano import tasks
from tapeout import LLM, SamplingParams, compile_model

NANO = Path(__file__).parent / "nano"
ARTIFACT = Path(__file__).parent.parent / "build" / "nano.tapeout"
PARAMS = SamplingParams(temperature=0, max_tokens=128)


def ask(llm: LLM, question: dict[str, Any]) -> tuple[str, int]:
    """Streams the answer to the terminal; gives its text and the number of its tokens."""
    prompt = llm.render_chat(question["messages"], tools=question.get("tools"))
    print(f"\n[{question['task']}] {question['messages'][-1]['content']}\n  ", end="")
    text, num_tokens = "", 0
    for out in llm.stream(prompt, PARAMS):
        completion = out.outputs[0]
        print(completion.text[len(text) :], end="", flush=True)
        text, num_tokens = completion.text, len(completion.token_ids)
    return text, num_tokens


def main() -> int:
    """Gives the exit code: 0 when every answer is right."""
    start = time.perf_counter()
    compile_model(NANO / "checkpoint", output=ARTIFACT, target="cpu")
    print(f"compiled in {time.perf_counter() - start:.1f} s")
    llm = LLM(ARTIFACT)

    start, num_tokens, wrong = time.perf_counter(), 0, []
    for question in json.loads((NANO / "prompts.json").read_text()):
        text, count = ask(llm, question)
        num_tokens += count
        is_right = tasks.check(question["task"], text, question["answer"])
        print("   right" if is_right else f"   WRONG: the answer is {question['answer']!r}")
        wrong += [] if is_right else [question["task"]]
    took_s = time.perf_counter() - start

    print(f"\n{num_tokens} tokens in {took_s:.2f} s: {num_tokens / took_s:.0f} tokens per second")
    print(f"the artifact is in {ARTIFACT}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
