"""The few commands that `python -m monai.bundle` has no verb for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def fail(error: object) -> typer.Exit:
    """Say in one line what is wrong; the command ends with status 1."""
    typer.echo(f"error: {error}", err=True)
    return typer.Exit(1)


@contextmanager
def page(path: Path) -> Iterator[None]:
    """Print the page that is written meanwhile, also when subjects were left out of it; tell an error in one line."""
    from hrcam_monai.data.failures import reason

    status = None
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        raise fail(reason(error)) from None
    except SystemExit as stop:  # of Failures, at the very end
        status = stop
    if path.is_file():
        typer.echo(f"{path.read_text()}\nresults: {path.parent}")
    if status:
        raise status


@app.callback()
def main() -> None:
    """HR-CAM for MONAI. Train, evaluate and infer with `python -m monai.bundle run`."""


@app.command()
def simulate(
    output: Annotated[Path, typer.Option(help="Folder of the cohort; a second call finishes what a first one left.")],
    task: Annotated[
        str, typer.Option(help="abnormalities, varied_abnormalities, or a phantom: ependymoma_gbm, parkinson_nm.")
    ] = "abnormalities",
    subjects: Annotated[int, typer.Option(min=1, help="Subjects over all splits; the classes take turns.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed and options, same bytes.")] = 0,
    spacing: Annotated[
        float | None, typer.Option(min=0.5, help="Voxel size, mm: 2 (abnormalities), 1 or 0.75 if not given.")
    ] = None,
    anatomy: Annotated[
        list[Path] | None,
        typer.Option(exists=True, help="Skull-stripped T1, or a folder of them, may be repeated; ICBM152 if not given."),
    ] = None,
    split: Annotated[tuple[float, float, float], typer.Option(help="Shares of training, validation and test.")] = (4, 1, 1),
    oblique: Annotated[int, typer.Option(min=0, help="Last subjects written as an oblique, LPS file.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; one a core if not given.")] = None,
) -> None:
    """Make a simulated cohort on real anatomy: images, lesion masks and a manifest."""
    from hrcam_monai.data.simulate import simulate_cohort

    try:
        path = simulate_cohort(output, subjects, seed, spacing, anatomy or (), split, oblique, workers, task)
    except (ValueError, OSError) as error:
        raise fail(error) from None
    typer.echo(f"manifest: {path}")


@app.command()
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
    from hrcam_monai.data.inputs import Choice
    from hrcam_monai.data.listing import Columns
    from hrcam_monai.data.prepare import iterations_of
    from hrcam_monai.data.prepare import prepare as run
    from hrcam_monai.data.steps import Steps
    from hrcam_monai.data.study import Study

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if table is None and (file_column or subject_column or mask_column or fold_column):
        raise fail("--file-column, --subject-column, --mask-column and --fold-column are of --table; give one.")
    if table is not None and labels is not None:
        raise fail("--table holds the labels, too; leave --labels out.")
    if unlabelled and (slices_from or covariate):
        raise fail("--slices-from and --covariate go into the manifest, and --unlabelled writes none; leave them out.")
    try:
        columns = Columns(file_column, subject_column, label_column, mask_column, fold_column)
        choice = Choice(source, series, suffix, match, brain_masks, masks, regions, table, columns)
        steps = Steps(
            n4, iterations_of(iterations), register, spacing, min_similarity, "never" if keep_skull else strip, roi, finest_knots
        )
        study = Study(labels, label_column, reference, covariate or (), slices_from, split, seed)
        path = run(choice, output, steps, None if unlabelled else study, workers)
    except (ValueError, OSError, RuntimeError) as error:
        raise fail(error) from None
    typer.echo(f"prepared: {path}")


@app.command()
def report(
    output_dir: Annotated[Path, typer.Argument(help="Folder that inference wrote.")],
    max_viewers: Annotated[int, typer.Option(min=0, help="Subjects with an interactive viewer.")] = 50,
) -> None:
    """Write the overlays and report.html of a finished inference again."""
    from hrcam_monai.report import write_report

    try:
        write_report(output_dir, max_viewers)
    except FileNotFoundError as error:
        raise fail(error) from None


@app.command()
def dicom(
    output_dir: Annotated[Path, typer.Argument(help="Folder that inference wrote.")],
    keep_patient: Annotated[
        bool, typer.Option("--keep-patient", help="Copy patient and study from the source; otherwise they stay empty.")
    ] = False,
    source: Annotated[Path | None, typer.Option(help="DICOM folder that prepare read, if it made the scans.")] = None,
) -> None:
    """Write the maps of DICOM series as DICOM Parametric Maps and Segmentations, beside the slices they came from."""
    from hrcam_monai.report.dicom import write_dicom

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        path = write_dicom(output_dir, keep_patient, source)
    except (ValueError, OSError, ImportError) as error:
        raise fail(error) from None
    typer.echo(f"dicom: {path}")


@app.command()
def fit_head(
    backbone: Annotated[Path, typer.Option(help="MONAI config of the CNN: _target_ and arguments.")],
    checkpoint: Annotated[Path, typer.Option(help="Its weights: a state dict, or a checkpoint that holds one.")],
    dataset_dir: Annotated[Path, typer.Option(help="Folder of manifest.json.")],
    output: Annotated[Path, typer.Option(help="Folder for model.pt, backbone.json and head_fit.json.")],
    taps: Annotated[list[str] | None, typer.Option(help="Module to tap, may be repeated; found if not given.")] = None,
    bundle_root: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("bundle"),
    config: Annotated[Path | None, typer.Option(help="Preprocessing; train.json of the bundle if not given.")] = None,
    overlay: Annotated[
        list[str] | None, typer.Option(help="Config after it, may be repeated: a file, or a name such as spatial_3d.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="File that keeps the pooled features for another call.")] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Held-out AUC that may be given for better maps.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Of the slices drawn and of the images kept.")] = 0,
) -> None:
    """Give HR-CAM to a CNN that is trained already: fit the head on the training subjects, no masks needed."""
    from hrcam_monai.data.failures import reason
    from hrcam_monai.fit_command import fit_classifier

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = (taps or (), bundle_root, config, overlay or (), cache, tolerance, seed)
    try:
        fit_classifier(backbone, checkpoint, dataset_dir, output, *chosen)
    except (ValueError, OSError, RuntimeError) as error:
        raise fail(reason(error)) from None
    typer.echo(f"weights: {output / 'model.pt'}")
    typer.echo(f"config to list after evaluate.json or inference.json: {output / 'backbone.json'}")


@app.command()
def compare(
    dataset_dir: Annotated[Path, typer.Option(help="Folder of manifest.json, with masks.")],
    output: Annotated[Path, typer.Option(help="Folder of the tables and figures.")],
    network: Annotated[
        list[str],
        typer.Option(help="NAME=WEIGHTS[:OVERLAY], may be repeated: an HR-CAM network, or the weights of its backbone alone."),
    ],
    peers_on: Annotated[
        list[str] | None, typer.Option(help="Networks that the peers run on; by default the plain classifiers.")
    ] = None,
    method: Annotated[list[str] | None, typer.Option(help="Peers to run; all that are not slow if not given.")] = None,
    slow: Annotated[bool, typer.Option(help="Occlusion and Score-CAM too.")] = False,
    alike: Annotated[bool, typer.Option(help="LayerCAM and Grad-CAM also read through HR-CAM's flips and slices.")] = True,
    overlay: Annotated[
        list[str] | None, typer.Option(help="Config of the task, may be repeated: a file, or a name such as tasks/parkinson_nm.")
    ] = None,
    split: Annotated[str, typer.Option(help="Section of the manifest.")] = "test",
    faithfulness: Annotated[int, typer.Option(min=0, help="Subjects that get deletion and insertion too (slow).")] = 0,
    panels: Annotated[int, typer.Option(min=0, help="Subjects that get a picture.")] = 6,
    bundle_root: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("bundle"),
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the rows that are there.")] = False,
) -> None:
    """Show HR-CAM beside CAM, Grad-CAM, Grad-CAM++, LayerCAM...: a table with intervals, and figures."""
    from hrcam_monai.compare.command import compare as run

    chosen = {
        "peers_on": peers_on or None,
        "methods": method or None,
        "slow": slow,
        "alike": alike,
        "panels": panels,
        "seed": seed,
        "resume": resume,
    }
    with page(output / "comparison.md"):
        run(dataset_dir, output, network, bundle_root, split, overlay or (), faithfulness=faithfulness, **chosen)


@app.command()
def cross_validate(
    dataset_dir: Annotated[Path, typer.Option(help="Folder of manifest.json; its splits are pooled.")],
    output: Annotated[Path, typer.Option(help="Folder of the results; a second call goes on where a first one stopped.")],
    config: Annotated[Path | None, typer.Option(help="Of training; train.json of the bundle if not given.")] = None,
    overlay: Annotated[
        list[str] | None, typer.Option(help="Config after it, may be repeated: a file, or a name such as two_stage.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Every subject is held out in one of them.")] = 5,
    seed: Annotated[int, typer.Option(help="Of folds, training, bootstrap and permutations.")] = 0,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, may be repeated: an option of the bundle, such as epochs=10.")
    ] = None,
    bundle_root: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("bundle"),
    baseline: Annotated[bool, typer.Option(help="Simple classifiers on the same folds, beside the network.")] = True,
    gpus: Annotated[str | None, typer.Option(help="Ids, as 0,1: a fold on each at a time; else one after another.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Clear what an earlier call has made.")] = False,
) -> None:
    """Cross-validate by subject: out-of-fold predictions and maps, measures with intervals, and simple baselines."""
    from hrcam_monai.cross_validation.run import cross_validate as run
    from hrcam_monai.cross_validation.run import gpu_ids

    with page(output / "cross_validation.md"):
        options = (config, overlay or (), folds, seed, setting or (), bundle_root, baseline, gpu_ids(gpus), restart)
        run(dataset_dir, output, *options)


@app.command()
def group(
    folder: Annotated[Path, typer.Argument(help="What inference or cross-validate wrote, with --map_class NAME.")],
    output: Annotated[Path, typer.Option(help="Folder of the maps, tables and figures.")],
    dataset_dir: Annotated[
        Path | None, typer.Option(help="Folder of the cohort's manifest.json: labels, regions, covariates.")
    ] = None,
    spacing: Annotated[int, typer.Option(min=1, help="Voxel size in template space, mm.")] = 2,
    fwhm: Annotated[float, typer.Option(min=0.0, help="Smoothing of the maps, mm.")] = 4.0,
    signed: Annotated[bool, typer.Option("--signed", help="Count values below zero, too.")] = False,
    covariate: Annotated[
        list[str] | None, typer.Option(help="Number in the manifest's entries to take out, such as age; may be repeated.")
    ] = None,
    permutations: Annotated[int, typer.Option(min=99, help="Of the max-statistic test.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of permutations and bootstrap.")] = 0,
) -> None:
    """Group maps of registered scans: means, difference with a permutation test, peaks in MNI coordinates, sides."""
    from hrcam_monai.group.run import group_maps

    with page(output / "group.md"):
        group_maps(folder, output, dataset_dir, spacing, fwhm, signed, covariate or (), permutations, seed)


@app.command()
def package(
    output: Annotated[Path, typer.Option(help="Folder for brain_mri_hrcam/ and brain_mri_hrcam.zip.")],
    bundle_root: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("bundle"),
) -> None:
    """Make the self-contained bundle to share: it runs unpacked anywhere, without hrcam-monai installed."""
    from hrcam_monai.package import build_package

    try:
        path = build_package(output, bundle_root)
    except (ValueError, OSError) as error:
        raise fail(error) from None
    typer.echo(f"folder: {path.with_suffix('')}")
    typer.echo(f"zip: {path} ({path.stat().st_size / 2**20:.1f} MB)")


@app.command()
def verify(path: Annotated[Path, typer.Argument(help="brain_mri_hrcam.zip, or the folder unpacked from it.")]) -> None:
    """See that a package is whole, by its SHA256SUMS."""
    from hrcam_monai.package import verify_package

    try:
        files = verify_package(path)
    except ValueError as error:
        raise fail(error) from None
    typer.echo(f"{path}: {files} files, all whole")


if __name__ == "__main__":
    app(prog_name="python -m hrcam_monai")
