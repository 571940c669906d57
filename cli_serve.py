"""`tapeout serve`: its options are those of `serve/options.py`, which needs no server's library."""

import sys
from pathlib import Path
from typing import Any

import click

from .serve.options import list_options, make_options, read_config


def _with_options(command: Any) -> Any:
    for option in reversed(list_options()):
        name = option.name.replace("_", "-")
        command = click.option(
            f"--{name}/--no-{name}" if option.kind is bool else f"--{name}",
            type=option.kind,
            multiple=option.is_list,
            default=None,
            help=option.text,
        )(command)
    return command


@click.command("serve")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file of these options.")
@_with_options
def serve_command(model: Path, config: Path | None, **given: Any) -> None:
    """Answer OpenAI's API over HTTP with MODEL, an artifact or a checkpoint."""
    asked = {name: value for name, value in given.items() if value not in (None, ())}
    from_file = read_config(config) if config is not None else {}
    options = make_options(from_file | asked)
    from .serve.run import serve

    sys.exit(serve(model, options))
