"""Commands, `compile` and `run` first. What a command needs is imported when that command runs."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bench import bench
from .cli_explain import diff_command, explain_command
from .cli_inspect import inspect_command
from .cli_plan import plan_command
from .cli_serve import run_batch_command, serve_command
from .cli_tune import tune_command
from .cli_verify import verify_command
from .errors import TapeoutError

if TYPE_CHECKING:
    from .artifact import Artifact
    from .runtime.llm import LLM
    from .runtime.outputs import RequestOutput

_INTERRUPTED = 130  # as shells have it
_PATH = click.Path(path_type=Path)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_BATCH_INVARIANT = click.option(
    "--batch-invariant",
    is_flag=True,
    help="A request has the same bits in any batch. On a CPU it always has.",
)
_DTYPE = click.option("--dtype", default="auto", help="auto, bfloat16 or float32.")


class _Refusal(click.ClickException):
    """An error of the user's: one line, exit code 2."""

    exit_code = 2


class _Commands(click.Group):
    """Turns our errors, and an interruption, into one line each."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Reads the command line."""
        with _interruptible():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            with _interruptible():
                return super().invoke(ctx)
        except TapeoutError as error:
            raise _Refusal(" ".join(str(error).split())) from None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Without it click ends with its code of 1, which says that something is wrong."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\ninterrupted", err=True)
        raise click.exceptions.Exit(_INTERRUPTED) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tapeout")
def main() -> None:
    """Compile a language model once, ahead of time; run the artifact anywhere."""


main.add_command(bench)
main.add_command(diff_command)
main.add_command(explain_command)
main.add_command(inspect_command)
main.add_command(plan_command)
main.add_command(serve_command)
main.add_command(run_batch_command)
main.add_command(verify_command)
main.add_command(tune_command)


@main.command("compile")
@click.argument("checkpoint", type=_PATH)
@click.option("-o", "--output", type=_PATH, help="Default: NAME.tapeout in this folder.")
@click.option("--target", default="cpu", show_default=True, help="cpu, or a GPU: cuda:sm_90, ...")
@_DTYPE
@click.option("--quantize", "quantization", help="A quantization scheme.")
@click.option("--tensor-parallel-size", default=1, show_default=True)
@_BATCH_INVARIANT
@click.option("--tuning", help="A table of `tapeout tune`, or the name of one that ships.")
@click.option("--load-format", default="auto", help="auto, or dummy: random weights.")
@click.option(
    "--require-fusion",
    "require_fusions",
    multiple=True,
    metavar="NAME",
    help="Refuse a model that loses it in any layer; docs/explain.md has the names.",
)
@click.option("--dump-ir", type=_PATH, help="A folder for the IR as traced and after each pass.")
@click.option("--cpu-level", "cpu_levels", multiple=True, help="Build for these levels alone.")
@_AS_JSON
def compile_command(
    checkpoint: Path, as_json: bool, cpu_levels: tuple[str, ...], **options: Any
) -> None:
    """Compile a CHECKPOINT folder into an artifact."""
    started_s = time.monotonic()
    with _build_progress() as progress:
        from .artifact import Artifact
        from .runtime.choose_target import describe_devices
        from .runtime.compiler import load_compiler
        from .runtime.units import readable_bytes

        options |= {"cpu_levels": list(cpu_levels) or None, "progress": progress}
        path = load_compiler().compile_model(checkpoint, **options)
    took_s = time.monotonic() - started_s
    num_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    opened = Artifact.open(path, verify_weights=False)
    levels = [*opened.manifest.targets[options["target"]].levels]
    devices, num_tuned = describe_devices(options["target"], levels), _num_tuned(opened)
    if as_json:
        summary = {"artifact": str(path), "bytes": num_bytes, "seconds": took_s}
        _print_json(summary | {"runs_on": devices, "num_tuned": num_tuned})
        return
    click.echo(f"{path}: {readable_bytes(num_bytes)}, built in {took_s:.1f} s; runs on {devices}")
    if options["tuning"] is not None:
        said = f"of its kernels and shapes are in the table {options['tuning']}"
        left = "the others" if num_tuned else "all"
        click.echo(f"{num_tuned or 'none'} {said}; rules configure {left}")


@main.command("run")
@click.argument("model", type=_PATH)
@click.argument("prompt")
@click.option("--max-tokens", default=256, show_default=True)
@click.option("--temperature", default=0.0, show_default=True, help="0: the likeliest token.")
@click.option("--seed", type=int, help="Of the random choices.")
@click.option("--chat/--raw", "as_chat", default=None, help="Default: chat if there is a template.")
@click.option("--num-threads", type=int, help="Default: one for each core.")
@_DTYPE
@_AS_JSON
def run_command(
    model: Path,
    prompt: str,
    max_tokens: int,
    temperature: float,
    seed: int | None,
    as_chat: bool | None,
    num_threads: int | None,
    dtype: str,
    as_json: bool,
) -> None:
    """Answer PROMPT (- reads it from the input) with MODEL, an artifact or a checkpoint."""
    from .runtime.llm import LLM
    from .runtime.sampling_params import SamplingParams

    text = _read_input() if prompt == "-" else prompt
    params = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)
    llm = LLM(model, dtype=dtype, max_num_seqs=1, num_threads=num_threads)
    started_s = time.monotonic()
    output = _stream(llm, _prompt(llm, text, as_chat), params, shows_text=not as_json)
    _report_run(output, time.monotonic() - started_s, as_json)


# ---- compile ----


def _num_tuned(opened: "Artifact") -> int:
    """Kernels and shapes that a table has configured."""
    from .artifact.choices import read_choices

    choices = [one for target in opened.manifest.targets for one in read_choices(opened, target)]
    return len({(choice.key, choice.level) for choice in choices if choice.device is not None})


# ---- run ----


def _read_input() -> str:
    """What is no UTF-8 is refused with the prompt, as an argument's is."""
    return sys.stdin.buffer.read().decode(errors="surrogateescape")


def _prompt(llm: "LLM", text: str, as_chat: bool | None) -> Any:
    if as_chat is None:
        as_chat = llm.get_tokenizer().chat_template() is not None
    return llm.render_chat([{"role": "user", "content": text}]) if as_chat else text


def _stream(llm: "LLM", prompt: Any, params: Any, shows_text: bool) -> "RequestOutput":
    num_shown, output = 0, None
    for output in llm.stream(prompt, params):
        text = output.outputs[0].text
        if shows_text:
            click.echo(text[num_shown:], nl=False)
            num_shown = len(text)
    assert output is not None, "a stream ends with an output"
    if shows_text:
        click.echo()
    return output


def _report_run(output: "RequestOutput", took_s: float, as_json: bool) -> None:
    completion, times = output.outputs[0], output.metrics
    num_tokens = len(completion.token_ids)
    assert times is not None, "a finished request has its times"
    first_s = (times.first_token_s or times.finished_s) - times.arrived_s
    if as_json:
        _print_json(
            {
                "text": completion.text,
                "token_ids": completion.token_ids,
                "finish_reason": completion.finish_reason,
                "num_prompt_tokens": len(output.prompt_token_ids),
                "first_token_s": first_s,
                "seconds": took_s,
                "tokens_per_s": num_tokens / took_s,
            }
        )
        return
    click.echo(
        f"{num_tokens} tokens in {took_s:.2f} s: {num_tokens / took_s:.1f} tokens/s, the first "
        f"after {first_s * 1e3:.0f} ms ({completion.finish_reason})",
        err=True,
    )


# ---- printing ----


@contextmanager
def _build_progress() -> Iterator[Callable[[str, int, int], None]]:
    from .runtime.progress import BuildProgress

    progress = BuildProgress()
    try:
        yield progress
    finally:
        progress.close()


def _print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))
