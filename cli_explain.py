"""`tapeout explain`: why an artifact is as it is, and `tapeout diff`: what differs between two."""

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command("explain")
@click.argument("artifact", type=_PATH)
@click.option("--layer", type=click.IntRange(0), help="This one alone; the first is 0.")
@_AS_JSON
def explain_command(artifact: Path, layer: int | None, as_json: bool) -> None:
    """Say what each pass did in each layer of ARTIFACT, what it left and why, and what runs."""
    from msgspec.json import encode

    from .artifact import Artifact
    from .inspection.explain import explain
    from .inspection.explanation_text import text_of_explanation

    found = explain(Artifact.open(artifact, verify_weights=False))
    shown = found if layer is None else found.of_layer(layer)
    click.echo(encode(shown).decode() if as_json else text_of_explanation(shown))


@click.command("diff")
@click.argument("a", type=_PATH)
@click.argument("b", type=_PATH)
@_AS_JSON
@click.pass_context
def diff_command(context: click.Context, a: Path, b: Path, as_json: bool) -> None:
    """Say what differs between the artifacts A and B; exits with 0 if nothing does, else with 1."""
    from msgspec.json import encode

    from .artifact import Artifact
    from .inspection.difference import difference_of
    from .inspection.difference_text import text_of_difference

    opened = [Artifact.open(path, verify_weights=False) for path in (a, b)]
    difference = difference_of(*opened)
    if as_json:
        click.echo(encode(difference).decode())
    elif difference.parts:
        click.echo(text_of_difference(difference))
    context.exit(1 if difference.parts else 0)
