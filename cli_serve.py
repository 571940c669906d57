"""`tapeout serve` and `tapeout run-batch`.

Their options are those of `serve/options.py`, which needs no server's library.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from .cli_limits import count, share
from .serve.options import Option, ServeOptions, list_options, make_options, read_config

_OF_A_BATCH = {
    *("served_model_name", "tool_format", "max_model_len", "max_num_seqs"),
    *("max_num_batched_tokens", "kv_cache_bytes", "gpu_memory_utilization"),
    *("enable_prefix_caching", "seed", "num_threads", "enforce_eager", "dtype", "load_format"),
    "request_timeout_s",
}

_LIMITS = {int: count, float: share}


def _with_options(options: Iterable[Option]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(list(options)):
            name = option.name.replace("_", "-")
            command = click.option(
                f"--{name}/--no-{name}" if option.kind is bool else f"--{name}",
                type=_LIMITS[option.kind] if option.is_limit else option.kind,
                multiple=option.is_list,
                default=None,
                help=option.text,
            )(command)
        return command

    return add


def _options(given: dict[str, Any], config: Path | None = None) -> ServeOptions:
    """What was given goes before what the file says."""
    from_file = read_config(config) if config is not None else {}
    return make_options(
        from_file | {name: value for name, value in given.items() if value not in (None, ())}
    )


@click.command("serve")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file of these options.")
@_with_options(list_options())
def serve_command(model: Path, config: Path | None, **given: Any) -> None:
    """Answer OpenAI's API over HTTP with MODEL, an artifact or a checkpoint."""
    options = _options(given, config)
    from .serve.run import serve

    sys.exit(serve(model, options))


@click.command("run-batch")
@click.option("-i", "--input", "source", type=click.Path(path_type=Path), required=True)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), required=True)
@click.option("--model", type=click.Path(path_type=Path), required=True)
@_with_options(option for option in list_options() if option.name in _OF_A_BATCH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run_batch_command(source: Path, target: Path, model: Path, as_json: bool, **given: Any) -> None:
    """Answer a file of requests in OpenAI's batch format; what OUTPUT has is not run again.

    Exits with 1 if a request has no answer, also one of an earlier run.
    """
    options = _options(given | {"log_level": "error"})
    from .serve.batch.run import run_batch
    from .serve.logs import set_up_logs
    from .serve.run import artifact_of, check_model, with_name

    check_model(model)
    set_up_logs(options.log_level)
    options, model = with_name(options, model), artifact_of(model, options)
    report = asyncio.run(run_batch(model, options, source, target, sys.stderr.isatty()))
    click.echo(report.as_json() if as_json else report.text())
    if report.num_failed:
        said = f"{report.num_failed} of {report.num_requests} requests have no answer"
        click.echo(f"{said}; their lines in {target} say why", err=True)
        sys.exit(1)
