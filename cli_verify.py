"""`tapeout verify`: compares an artifact with the reference; see `verification/`."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .verification.certificate import Certificate

_PATH = click.Path(path_type=Path)


@click.command("verify")
@click.argument("artifact", type=_PATH)
@click.option("--checkpoint", type=_PATH, help="What it was compiled from: compare with that, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the certificate.")
@click.pass_context
def verify_command(
    context: click.Context, artifact: Path, checkpoint: Path | None, as_json: bool
) -> None:
    """Compare ARTIFACT with the reference on the device at hand; certify it beside the artifact.

    Exits with 0 if nothing is wrong, else with 1.
    """
    from .artifact.beside import check_file
    from .runtime.progress import BuildProgress
    from .verification.certificate import certificate_path, text_of, write
    from .verification.run import verify

    check_file(certificate_path(artifact))
    progress = BuildProgress()
    try:
        certificate = verify(artifact, checkpoint, progress)
    finally:
        progress.close()
    if as_json:
        click.echo(text_of(certificate), nl=False)
    else:
        _print(certificate)
    path = write(certificate, artifact)  # last, for what was found is told whatever becomes of it
    if not as_json:
        click.echo(f"{_verdict(certificate)}: {path}")
    context.exit(0 if certificate.passed else 1)


def _print(certificate: "Certificate") -> None:
    from .inspection.text import wrapped

    for (status, detail), checks in groupby(certificate.checks, lambda c: (c.status, c.detail)):
        names = ", ".join(check.name for check in checks)
        for line in wrapped([f"{names:<8} {status:<9} {detail}"]):
            click.echo(line)
    for one in certificate.logits:
        click.echo(
            f"  {one.steps}: off by {one.distance:.3g}, KL {one.kl:.3g}, top-1 {one.top1:.1%} "
            f"(rounded reference {one.distance_of_rounded:.3g}, {one.kl_of_rounded:.3g}, "
            f"{one.top1_of_rounded:.1%})"
        )
    for kernel in certificate.kernels[:1]:
        share = kernel.error / kernel.limit
        click.echo(f"  the kernel nearest its limit: {', '.join(kernel.kernels)}, at {share:.0%}")
    for fault in certificate.faults:
        click.echo(f"fault: {fault}", err=True)


def _verdict(certificate: "Certificate") -> str:
    """It says so where the kernels themselves could not be tried."""
    if not certificate.passed:
        return "failed"
    untried = any(c.name == "kernels" and c.status == "not done" for c in certificate.checks)
    return "passed what could be checked here" if untried else f"passed on {certificate.device}"
