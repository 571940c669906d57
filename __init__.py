"""tapeout compiles a language model once, ahead of time, into a closed artifact, and replays it."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "AsyncLLM": "runtime.async_llm",
    "CompletionOutput": "runtime.outputs",
    "LLM": "runtime.llm",
    "Logprob": "runtime.logprobs",
    "RequestOutput": "runtime.outputs",
    "RequestOutputKind": "runtime.sampling_params",
    "SamplingParams": "runtime.sampling_params",
    "StructuredOutputsParams": "runtime.grammars.params",
    "compile_model": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
