"""An Ignite handler that writes the predictions of a cohort, and goes on where an earlier run stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from hrcam_monai.brain import HEAD
from hrcam_monai.data.unusual import UNUSUAL
from hrcam_monai.input_check import CHECK
from hrcam_monai.transforms.saving import FORMATS, written_map
from hrcam_monai.utils.csv_files import append_csv, read_csv, write_csv
from hrcam_monai.utils.distributed import gather_rows, is_main_process, process_rank, wait
from hrcam_monai.utils.files import OutputError
from hrcam_monai.utils.run_settings import RunSettings

__all__ = ["BEHIND", "PredictionWriter", "finished_items", "prediction_row", "read_predictions"]

logger = logging.getLogger(__name__)
Row = dict[str, Any]
BEHIND = 2  # subjects whose maps may still be on their way to the disk


def finished_items(engine: Engine) -> list[Row]:
    """The subjects of this iteration, decollated: what was read and what came out; none if it failed."""
    read: Any = engine.state.batch
    out: Any = engine.state.output
    return [{**r, **o} for r, o in zip(read, out, strict=True)] if out else []


def prediction_row(item: Row, classes: Sequence[str]) -> Row:
    """One subject's line of predictions.csv: subject, file, class, probability and logit of each class."""
    row = {"subject": item["subject"], "file": item["file"], "predicted": classes[item["predicted"]]}
    row |= {f"probability_{c}": float(p) for c, p in zip(classes, item["probabilities"], strict=True)}
    return row | {f"logit_{c}": float(z) for c, z in zip(classes, item["logits"], strict=True)}


def read_predictions(output_dir: str | Path) -> list[dict[str, str]]:
    """The lines of predictions.csv in a folder that inference wrote.

    Raises:
        FileNotFoundError: there is no such file.
    """
    table = Path(output_dir) / "predictions.csv"
    if not table.is_file():
        raise FileNotFoundError(f"{table}: not found; run inference.json into this folder first.")
    return read_csv(table)


class PredictionWriter:
    """Writes `predictions.csv` from items that `ReadPredictiond` has taken apart, and knows what an earlier run has done.

    A subject's line is appended when its maps are written, so that an interrupted run can go on where it stopped. They are
    written behind (`SaveBehindd`), by `BEHIND` subjects at most, so that memory stays flat. Under
    torchrun each process appends to a file of its own; at the end all lines come together, sorted by subject.
    `settings.json` holds what the predictions were made with; when that has changed, every subject is computed anew.

    Args:
        output_dir: folder of the file.
        classes: names of the classes.
        settings: what predictions depend on: options by name. A file counts by its content.
        resume: leave out the subjects of an earlier run with the same settings.
        model_settings: what they depend on besides, as `hrcam_monai.workflows.model_settings` records it.

    Example:
        >>> writer = PredictionWriter("eval", ["normal", "abnormal"], {"map_class": "predicted"})  # doctest: +SKIP
        >>> items = writer.unfinished(items)  # doctest: +SKIP
    """

    def __init__(
        self,
        output_dir: str | Path,
        classes: Sequence[str],
        settings: Mapping[str, Any] | None = None,
        resume: bool = True,
        model_settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(output_dir)
        self.path = self.folder / "predictions.csv"
        self.part = self.path if process_rank() == 0 else self.folder / f"predictions_rank{process_rank()}.csv"
        self.classes = classes
        told = {**(model_settings or {}), **(settings or {})}
        self.settings = RunSettings(self.folder, {"classes": list(classes), **told})
        self.finished = self._earlier() if resume else []
        self.rows: list[Row] = []
        self.pending: list[Row] = []

    def _earlier(self) -> list[Row]:
        """Lines of an earlier run with the same settings, of images that are older than they and of maps that are there still."""
        tables = sorted(self.folder.glob("predictions*.csv"))
        rows = [row for table in tables for row in read_csv(table)]
        if not rows:
            return []
        if any(not row.get("subject") or not row.get("file") for row in rows):
            raise ValueError(f"{self.path}: is no table of predictions of ours; choose another --output_dir, or --resume False.")
        if self.settings.changed:
            logger.warning(
                "%s: made with other settings (%s); all subjects are computed anew", self.folder, ", ".join(self.settings.changed)
            )
            return []
        made = max(table.stat().st_mtime for table in tables)
        kept = [row for row in rows if _written(row["file"]) <= made]
        if len(kept) < len(rows):
            logger.warning("%s: %d images have changed since; they are computed anew", self.folder, len(rows) - len(kept))
        shown = [row for row in kept if not row.get("map_class") or self._has_maps(row["subject"])]
        if len(shown) < len(kept):
            logger.warning("%s: maps of %d subjects are gone; they are computed anew", self.folder, len(kept) - len(shown))
        return shown

    def _has_maps(self, subject: str) -> bool:
        return all(written_map(self.folder, subject, kind).is_file() for kind in FORMATS)

    def unfinished(self, items: Sequence[Row]) -> list[Row]:
        """The items whose subject and file have no line yet; lines of what is not among the items are dropped."""
        asked = {(str(item["subject"]), str(item["image"])): item for item in items}
        self.finished = [row for row in self.finished if (row["subject"], row["file"]) in asked]
        if self.finished:
            logger.info(
                "%d of %d subjects are there from an earlier run; --resume False computes them anew",
                len(self.finished),
                len(items),
            )
        done = {(row["subject"], row["file"]) for row in self.finished}
        return [item for key, item in asked.items() if key not in done]

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self, _engine: Engine) -> None:
        """The lines of an earlier run become one file; this process's own lines follow."""
        self.rows, self.pending = [], []
        wait()  # all have read what is there
        if is_main_process():
            self._one_file(self.finished)
            if not self.finished:  # the first line brings the header
                self.path.unlink()
            self.settings.write()
        wait()

    def collect(self, engine: Engine) -> None:
        self.pending += finished_items(engine)
        self._settle(engine, BEHIND)

    def _settle(self, engine: Engine, behind: int) -> None:
        """Give subjects their lines whose maps are written, and wait for all but the last `behind`."""
        while self.pending:
            written = self.pending[0].get("written", ())
            if len(self.pending) <= behind and not all(future.done() for future in written):
                return
            item = self.pending.pop(0)
            try:
                for future in written:
                    future.result()
            except OutputError:
                raise  # the output folder is not the fault of this subject
            except Exception as error:
                engine.failures.add(item["subject"], item["file"], error)  # type: ignore[attr-defined]
                continue
            shown = {"map_class": self.classes[int(item["map_class"])]} if "map_class" in item else {}
            noted = {key: item[key] for key in (CHECK, HEAD, UNUSUAL) if key in item}
            self.rows.append(prediction_row(item, self.classes) | shown | noted)
            append_csv(self.part, self.rows[-1:])

    def finish(self, engine: Engine) -> None:
        self._settle(engine, 0)
        rows = gather_rows([*self.rows, *(self.finished if is_main_process() else [])])
        if is_main_process():
            self._one_file(rows)

    def _one_file(self, rows: Sequence[Row]) -> None:
        """All lines in one table; then the parts are no longer needed."""
        write_csv(self.path, rows)
        for part in self.folder.glob("predictions_rank*.csv"):
            part.unlink()


def _written(image: str) -> float:
    """When a file, or the last file of a folder (a DICOM series), was written or put there; 0 where it is not there.

    What is copied or moved may keep the time that it was written at, not the one of its change on this disk.
    """
    path = Path(image)
    told = [f.stat() for f in ([*path.iterdir(), path] if path.is_dir() else [path]) if f.exists()]
    return max((max(t.st_mtime, t.st_ctime) for t in told), default=0.0)
