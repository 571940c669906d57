"""`tapeout bench`: measures a model with random prompts; see `runtime/bench.py`.

`tapeout bench startup` measures how it starts; see `runtime/bench_startup.py`.
`tapeout bench serve` measures a server, of ours or another; see `serve/load/`.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_limits import count, share
from .runtime.limits import Limits, default_of

if TYPE_CHECKING:
    from .runtime.bench_report import BenchReport
    from .runtime.kernel_report import KernelsReport
    from .runtime.startup_report import StartupReport
    from .serve.load.report import LoadReport


def _refuse_unwritable(context: click.Context, option: click.Parameter, path: Path | None) -> Any:
    from .artifact.beside import check_file

    if path is not None and path != _STDOUT:
        check_file(path)
    return path


def _file(name: str, what: str) -> Any:
    """An option for a file that is written when all is done, whole or not at all."""
    kind = click.Path(path_type=Path, allow_dash=True)
    return click.option(name, type=kind, callback=_refuse_unwritable, help=what)


_STDOUT = Path("-")
_REPORT = [
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    _file("--output", "A file for the JSON."),
]
_SEQS = f"Sequences at a time. Default: a batch, or {default_of('max_num_seqs')}."
_TOKENS = f"Tokens of a step. Default: {default_of('max_num_batched_tokens')}."
_MODEL = click.argument("model", type=click.Path(path_type=Path))
_LOAD = [
    click.option("--max-num-seqs", type=count, help=_SEQS),
    click.option("--max-num-batched-tokens", type=count, help=_TOKENS),
    click.option("--max-model-len", type=count, help="Tokens of a sequence."),
    click.option("--kv-cache-bytes", type=count, help="For keys and values."),
    click.option("--gpu-memory-utilization", type=share, help="Share of the memory to take."),
    click.option("--num-threads", type=int, help="Default: one for each core."),
    click.option("--dtype", default="auto", help="auto, bfloat16 or float32."),
    click.option("--load-format", default="auto", help="auto, or dummy: random weights."),
]
_COMMON = [
    _MODEL,
    click.option("--seed", default=0, show_default=True, help="Of the prompts."),
    *_LOAD,
    *_REPORT,
]


def _common(command: Any) -> Any:
    return _with(_COMMON, command)


def _with(options: Sequence[Any], command: Any) -> Any:
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def bench() -> None:
    """Measure a model, or a server, with prompts of random tokens."""


@bench.command("latency")
@click.option("--input-len", default=32, show_default=True, help="Tokens of a prompt.")
@click.option("--output-len", default=128, show_default=True, help="Tokens of an output.")
@click.option("--batch-size", default=8, show_default=True, help="Requests at a time.")
@click.option("--num-iters", default=30, show_default=True, help="Batches that are measured.")
@click.option("--num-iters-warmup", default=10, show_default=True, help="Batches before them.")
@_common
def latency_command(as_json: bool, output: Path | None, **options: Any) -> None:
    """Time batches of equal requests, one batch after the other."""
    from .runtime.bench import LatencyOptions, measure_latency

    asked, load = _split(options, LatencyOptions)
    limits = Limits.among(load)
    if limits.max_num_seqs is None:  # all of a batch, as far as a step has a token for each
        num_tokens = limits.max_num_batched_tokens or asked.batch_size
        load["max_num_seqs"] = min(asked.batch_size, num_tokens)
    _print(measure_latency(_load(load), asked), as_json, output)


@bench.command("throughput")
@click.option("--input-len", default=128, show_default=True, help="Tokens of a prompt.")
@click.option("--output-len", default=128, show_default=True, help="Tokens of an output.")
@click.option("--num-prompts", default=100, show_default=True, help="Requests, all at once.")
@click.option(
    "--random-range-ratio",
    default=0.0,
    show_default=True,
    help="Lengths differ by up to this share of them, from 0 to 1.",
)
@click.option(
    "--prefix-len",
    default=0,
    show_default=True,
    help="Tokens that all prompts begin with, before the input length.",
)
@_common
def throughput_command(as_json: bool, output: Path | None, **options: Any) -> None:
    """Time many requests that arrive at once."""
    from .runtime.bench import ThroughputOptions, measure_throughput

    asked, load = _split(options, ThroughputOptions)
    _print(measure_throughput(_load(load), asked), as_json, output)


@bench.command("startup")
@click.option("--repeats", default=3, show_default=True, help="Processes after the first.")
@lambda command: _with([_MODEL, *_LOAD, *_REPORT], command)
def startup_command(
    model: Path,
    repeats: int,
    load_format: str,
    as_json: bool,
    output: Path | None,
    **options: Any,
) -> None:
    """Time processes of their own, from their start through loading to the first token."""
    from .runtime.bench_startup import StartupOptions, measure_startup

    asked, shows_progress = StartupOptions(repeats=repeats), sys.stderr.isatty()
    report = measure_startup(model, asked, _given(options), load_format, shows_progress)
    _print(report, as_json, output)


@bench.command("kernels")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--batch", default=1, show_default=True, help="Sequences of the step.")
@click.option("--context", default=128, show_default=True, help="Tokens of each one's prompt.")
@click.option(
    "--step",
    type=click.Choice(["decode", "prefill"]),
    default="decode",
    show_default=True,
    help="A token of each after its prompt, or the prompts.",
)
@lambda command: _with(_REPORT, command)
def kernels_command(artifact: Path, as_json: bool, output: Path | None, **options: Any) -> None:
    """Time every kernel of a step on the GPU, against what the card can do."""
    from .runtime.bench_kernels import KernelOptions, measure_kernels

    _print(measure_kernels(artifact, KernelOptions(**options)), as_json, output)


_SERVE = [
    click.argument("url"),
    click.option("--model", help="Default: the first that the server lists."),
    click.option("--endpoint", type=click.Choice(["completions", "chat"]), default="completions"),
    click.option(
        "--lengths",
        type=click.Choice(["fixed", "uniform", "sharegpt", "alpaca"]),
        default="fixed",
        show_default=True,
        help="How long prompts and outputs are: as given, around that, or as in a data set.",
    ),
    click.option("--input-len", default=128, show_default=True, help="Tokens of a prompt."),
    click.option("--output-len", default=128, show_default=True, help="Tokens of an output."),
    click.option(
        "--random-range-ratio",
        default=0.5,
        show_default=True,
        help="Uniform lengths differ by up to this share of them, from 0 to 1.",
    ),
    click.option("--num-prompts", default=100, show_default=True, help="Requests in all."),
    click.option("--request-rate", type=float, help="Requests a second, at random times."),
    click.option("--concurrency", type=int, help="Users who each wait for their answers."),
    click.option(
        "--goodput",
        multiple=True,
        metavar="NAME:MS",
        help="What is a good answer: ttft, tpot or e2e, and how many ms at most.",
    ),
    click.option(
        "--ignore-eos/--no-ignore-eos",
        default=True,
        help="Whether outputs have their whole length; OpenAI's own server knows no such field.",
    ),
    click.option("--timeout-s", default=600.0, show_default=True, help="Of a request."),
    click.option("--api-key", envvar="OPENAI_API_KEY", help="Default: $OPENAI_API_KEY."),
    click.option("--seed", default=0, show_default=True, help="Of lengths, prompts and times."),
    _file("--plot", "A file for an HTML page."),
    *_REPORT,
]


@bench.command("serve")
@lambda command: _with(_SERVE, command)
def serve_command(
    goodput: tuple[str, ...],
    api_key: str | None,
    plot: Path | None,
    as_json: bool,
    output: Path | None,
    **options: Any,
) -> None:
    """Ask the server at URL, of OpenAI's API, as many users would: at a rate or so many at once."""
    from .serve.load.options import LoadOptions, read_bounds

    asked = LoadOptions(bounds=read_bounds(goodput), **options)
    try:
        from .serve.load.drive import measure_server
        from .serve.load.plot import render_page
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error}; pip install 'tapeout[load]'") from None

    shows_progress = sys.stderr.isatty()
    report, samples = asyncio.run(measure_server(asked, api_key, shows_progress))
    if plot is not None:
        _write(plot, render_page(report, samples))
    _print(report, as_json, output)
    if report.num_failed == report.num_requests:
        sys.exit(1)


def _split(options: dict[str, Any], kind: type[Any]) -> tuple[Any, dict[str, Any]]:
    """What is measured, checked before anything is loaded, and what the model is loaded with."""
    names = kind.__struct_fields__
    asked = kind(**{name: options[name] for name in names})
    return asked, {name: value for name, value in options.items() if name not in names}


def _load(options: dict[str, Any]) -> Any:
    from .runtime.llm import LLM

    given = _given(options)
    return LLM(given.pop("model"), skip_tokenizer_init=True, **given)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _print(
    report: "BenchReport | KernelsReport | LoadReport | StartupReport",
    as_json: bool,
    output: Path | None,
) -> None:
    from msgspec.json import encode

    text = encode(report).decode()
    if output is not None:
        _write(output, text + "\n")
    click.echo(text if as_json else report.text())


def _write(path: Path, text: str) -> None:
    from .artifact.beside import write_whole

    if path == _STDOUT:
        click.echo(text, nl=False)
    else:
        write_whole(path, text.encode())
