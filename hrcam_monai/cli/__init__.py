"""`hrcam`, or `python -m hrcam_monai`: the few commands that `python -m monai.bundle` has no verb for, a file each."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from hrcam_monai.cli.compare import compare
from hrcam_monai.cli.cross_validate import cross_validate
from hrcam_monai.cli.dicom import dicom
from hrcam_monai.cli.fit_head import fit_head
from hrcam_monai.cli.group import group
from hrcam_monai.cli.infer import evaluate, infer
from hrcam_monai.cli.learn_inputs import learn_inputs
from hrcam_monai.cli.package import package, verify
from hrcam_monai.cli.prepare import prepare
from hrcam_monai.cli.report import report
from hrcam_monai.cli.shared import DEBUG, errors_told
from hrcam_monai.cli.simulate import simulate

__all__ = ["app"]

COMMANDS = (
    simulate,
    prepare,
    infer,
    evaluate,
    report,
    dicom,
    fit_head,
    learn_inputs,
    compare,
    cross_validate,
    group,
    package,
    verify,
)
app = typer.Typer(
    help="The few commands that `python -m monai.bundle` has no verb for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def main(
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Read files behind symbolic links that leave the data folder, too.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Bring the traceback of an error.")] = False,
) -> None:
    """HR-CAM for MONAI. Train, evaluate and infer with `python -m monai.bundle run`."""
    if follow_links:
        from hrcam_monai.data.links import FOLLOW

        os.environ[FOLLOW] = "1"
    if debug:
        os.environ[DEBUG] = "1"


for command in COMMANDS:
    app.command()(errors_told()(command))
