"""`tapeout inspect`: says what is inside an artifact; see `inspection/`."""

from pathlib import Path

import click


@click.command("inspect")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    help="A file for a page to open in a browser, whole in itself.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect_command(artifact: Path, page: Path | None, as_json: bool) -> None:
    """Say what is inside ARTIFACT. All of it but the weights is checked first."""
    from msgspec.json import encode

    from .artifact import Artifact
    from .inspection.facts import facts_of
    from .inspection.text import text_of

    opened = Artifact.open(artifact, verify_weights=False)
    facts = facts_of(opened)
    if page is not None:
        from .artifact.beside import write_whole
        from .inspection.render_page import render_page

        write_whole(page, render_page(opened, facts).encode())
    if as_json:
        click.echo(encode(facts).decode())
    elif page is None:
        click.echo(text_of(facts))
    else:
        click.echo(f"{page}: the report of {artifact}")
