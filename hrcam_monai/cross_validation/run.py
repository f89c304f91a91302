"""`python -m hrcam_monai cross-validate`: every fold, or what an earlier call has left, then all of it together."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

from monai.bundle import ConfigParser
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from hrcam_monai.cross_validation.baseline_run import run_baselines
from hrcam_monai.cross_validation.baselines import BASELINES
from hrcam_monai.cross_validation.collect import (
    fold_warnings,
    link_maps,
    note_failures,
    pooled_predictions,
    pooled_scores,
)
from hrcam_monai.cross_validation.configs import (
    config_files,
    fold_overlays,
    load,
    of_maps_alone,
    parse_settings,
    write_overlays,
)
from hrcam_monai.cross_validation.fold_run import FoldRun
from hrcam_monai.cross_validation.folds import assign_folds, check_size, fold_manifest, subject_labels
from hrcam_monai.cross_validation.page import markdown
from hrcam_monai.cross_validation.settings import MAPS, enter
from hrcam_monai.cross_validation.summary import cross_validation_summary
from hrcam_monai.data.failures import Failures, reason, writable_folder
from hrcam_monai.data.manifest import Manifest, ManifestError, load_manifest
from hrcam_monai.handlers.evaluation import evaluation_summary
from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.csv_files import write_csv
from hrcam_monai.utils.environment import environment
from hrcam_monai.utils.files import OutputError, write_json, write_text
from hrcam_monai.utils.fingerprint import fingerprint
from hrcam_monai.utils.folder_lock import free_folder, lock_folder

__all__ = ["cross_validate", "gpu_ids", "run_folds"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Cohort:
    """The subjects of a manifest and their folds.

    Attributes:
        manifest: checked.
        labels: of each subject.
        folds: of each fold, the split of each subject.
    """

    manifest: Manifest
    labels: dict[str, int]
    folds: list[dict[str, str]]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All images."""
        return [e for listed in self.manifest.entries.values() for e in listed]

    @property
    def held_out(self) -> dict[str, int]:
        """The fold in which each subject is held out."""
        return {s: i for i, fold in enumerate(self.folds) for s, split in fold.items() if split == "test"}


def _deal(dataset_dir: Path, folds: int, seed: int) -> _Cohort:
    """Read the manifest, and deal its subjects out.

    Raises:
        ManifestError: it cannot be used, or there are too few subjects of a class.
    """
    manifest = load_manifest(dataset_dir)
    try:
        labels = subject_labels([e for listed in manifest.entries.values() for e in listed])
        check_size(labels, folds, manifest.classes)
    except ManifestError as error:
        left = f" ({len(manifest.failures)} images cannot be used: {manifest.failures[0].error})" if manifest.failures else ""
        raise ManifestError(f"{manifest.path}: {error}{left}") from None
    return _Cohort(manifest, labels, assign_folds(labels, folds, seed))


def run_folds(runs: Sequence[FoldRun], gpus: Sequence[str]) -> dict[str, str]:
    """Run folds one after another, or one on each GPU at a time; one that fails costs itself.

    Returns:
        of the folds that could not be run to their end, what was wrong.

    Raises:
        RuntimeError: that is so of all.
        OutputError: a file cannot be written; no further fold is begun.
    """
    failed: dict[str, str] = {}
    free: SimpleQueue[str | None] = SimpleQueue()
    for gpu in gpus or (None,):
        free.put(gpu)
    stop = Event()  # set where none would fare better, and by ctrl-c: what runs already comes to its end, nothing more is begun
    with tqdm(total=len(runs), desc="cross-validate", unit="fold") as bar, ThreadPoolExecutor(max(1, len(gpus))) as pool:

        def work(run: FoldRun) -> None:
            if stop.is_set():
                return
            gpu = free.get()
            try:
                run.run(gpu, lambda workflow: bar.set_postfix_str(f"{run.folder.name}: {workflow}"))
            except OutputError:
                stop.set()
                raise
            except Exception as error:
                failed[run.folder.name] = reason(error)
                logger.error("%s left out: %s", run.folder.name, failed[run.folder.name])
            finally:
                free.put(gpu)
                bar.update()

        try:
            for future in as_completed([pool.submit(work, run) for run in runs]):
                future.result()
        except BaseException:
            stop.set()
            raise
    if len(failed) == len(runs):
        raise RuntimeError(next(iter(failed.values())))
    return dict(sorted(failed.items()))


def _pool_folds(
    output: Path, cohort: _Cohort, files: Sequence[Path], baselines: bool, seed: int, failed: Mapping[str, str], source: Path
) -> dict[str, Any]:
    """Tables, maps, baselines and numbers of all folds but the failed ones.

    Raises:
        SystemExit: status 1 at the end, if subjects or folds could not be processed.
    """
    from hrcam_monai.report import write_report

    every = {i: output / f"fold_{i}" for i in range(len(cohort.folds))}
    folders = {i: folder for i, folder in every.items() if folder.name not in failed}
    classes = cohort.manifest.classes
    failures = Failures(output, known=cohort.manifest.failures)
    note_failures(every.values(), failures)
    rows = pooled_predictions(output, folders, cohort.entries, classes)
    scored = pooled_scores(output, folders, cohort.entries)
    link_maps(output, folders.values())
    beside: dict[str, list[dict[str, Any]]] = {}
    left_out: dict[str, str] = {}
    parser = ConfigParser(load(files))
    if baselines:
        preprocessing = parser.get_parsed_content("preprocessing")
        with logging_redirect_tqdm():
            beside, left_out = run_baselines(cohort.entries, preprocessing, cohort.labels, cohort.held_out, classes, failures)
        for name, own in beside.items():
            write_csv(output / f"baseline_{name.replace(' ', '_')}.csv", own)
    summary = environment(seed) | cross_validation_summary(rows, classes, beside, seed)
    located = evaluation_summary(scored, Classes.of(classes, bool(parser.get("first_is_finding"))), seed)
    summary |= {key: located[key] for key in ("localization", "groups")}
    summary["notes"] = {name: BASELINES[name].notes for name in beside if BASELINES[name].notes}
    summary |= {"left_out": left_out, "warnings": fold_warnings(folders.values()), "failed_folds": dict(failed)}
    write_json(summary, output / "metrics.json")
    write_text(output / "cross_validation.md", markdown(summary))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nilearn's, of maps with nothing above zero
        write_report(output, source=source)
    if failed:
        logger.error("%d of %d folds could not be processed; a second call runs them alone", len(failed), len(every))
    failures.finish()
    if failed:
        raise SystemExit(1)
    return summary


def cross_validate(
    dataset_dir: Path,
    output: Path,
    config: Path | None = None,
    overlays: Sequence[str] = (),
    folds: int = 5,
    seed: int = 0,
    settings: Sequence[str] = (),
    bundle_root: Path = Path("bundle"),
    baselines: bool = True,
    gpus: Sequence[str] = (),
    restart: bool = False,
) -> dict[str, Any]:
    """Cross-validate a cohort by subject; a second call with the same options goes on where the first one stopped.

    Args:
        dataset_dir: folder of manifest.json; its splits are pooled.
        output: folder of the results.
        config: of training; the bundle's train.json by default.
        overlays: configs of training after it: files, or names of the bundle's.
        folds: how many.
        seed: of folds, training, bootstrap and permutations.
        settings: `key=value` for every workflow that knows the key.
        bundle_root: folder of the bundle.
        baselines: run those of `BASELINES` on the same folds.
        gpus: ids; a fold on each at a time.
        restart: clear what an earlier call has made.

    Returns:
        what `metrics.json` holds.

    Raises:
        ManifestError, ValueError, FileNotFoundError: an option, the manifest or a config cannot be used.
        RuntimeError: no fold could be run to its end; a second call goes on.
        SystemExit: status 1 at the end, if subjects or folds could not be processed.
    """
    cohort = _deal(dataset_dir, folds, seed)
    root, output = cohort.manifest.path.parent, output.absolute()
    files = config_files(bundle_root, config, overlays)
    made = fold_overlays(files, parse_settings(settings), cohort.manifest.classes, root)
    # folds are dealt among what can be read: were a scan to come, go or change, subjects would be held out twice or never
    told: dict[str, Any] = {
        "manifest": fingerprint(cohort.manifest.path),
        "dataset_dir": str(root),
        "images": cohort.manifest.data_hash(),
    }
    maps = of_maps_alone(files, settings)
    told |= {"folds": folds, "seed": seed, "set": sorted(set(settings) - set(maps)), MAPS: maps}
    told |= {workflow: [[p.name, fingerprint(p)] for p in listed] for workflow, listed in files.items()}
    writable_folder(output)
    lock = lock_folder(output)
    try:
        enter(output, told, restart)
        extra = write_overlays(output / "configs", made)
        every = {workflow: [*listed, extra[workflow]] for workflow, listed in files.items()}
        runs = []
        for number, fold in enumerate(cohort.folds):
            folder = output / f"fold_{number}"
            folder.mkdir(exist_ok=True)
            write_json(fold_manifest(cohort.manifest, root, fold), folder / "manifest.json")
            runs.append(FoldRun(folder, bundle_root.absolute(), every, seed))
        failed = run_folds(runs, gpus)
        return _pool_folds(output, cohort, every["inference"], baselines, seed, failed, dataset_dir)
    finally:
        free_folder(lock)


def gpu_ids(text: str | None) -> list[str]:
    """The ids in `0,1`.

    Example:
        >>> gpu_ids("0, 1")
        ['0', '1']
    """
    return [part.strip() for part in (text or "").split(",") if part.strip()]
