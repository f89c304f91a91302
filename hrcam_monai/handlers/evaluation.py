"""An Ignite handler that scores labelled subjects: tables, metrics and a figure."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from hrcam_monai.figures import evaluation_figure
from hrcam_monai.handlers.console import evaluation_table
from hrcam_monai.handlers.predictions import finished_items, prediction_row
from hrcam_monai.metrics.classification import classification_summary, roc_auc
from hrcam_monai.metrics.cohort import finding_groups, mean_scores, told_from
from hrcam_monai.metrics.displacement import Displacement, displacement_warning
from hrcam_monai.metrics.measures import LOCALIZATION, MEANS, SIDES
from hrcam_monai.transforms.scores import MapScores, has_lesion
from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.csv_files import write_csv
from hrcam_monai.utils.distributed import gather, gather_rows, is_main_process, place
from hrcam_monai.utils.files import write_json

__all__ = ["EvaluationWriter", "evaluation_summary"]

logger = logging.getLogger(__name__)


class EvaluationWriter:
    """Scores labelled subjects: `per_subject.csv`, `metrics.json` and `evaluation.png`.

    Classification is scored over all subjects; localisation over those whose mask is not empty, on the class map of
    their own label (`ReadPredictiond(map_class="label")`, or `scored_class="label"` beside another map that is drawn), on the
    network's grid; where there are `regions`, so is
    the side. The displacement of the network's own maps is measured on the first subjects that are not of the
    reference class, without their masks.

    Args:
        output_dir: folder of the files.
        classes: names of the classes; index 0 is the reference.
        group_key: manifest entry to report by, such as the grade of conspicuity; see `told_from`.
        spacing: of the network's grid, mm.
        tolerance_mm: of the pointing game.
        seed: of the bootstrap.
        displacement: measures how far maps lie beside what they mark; None leaves that out.
        first_is_finding: the first class is a finding like the others, so its maps are scored, too.
    """

    def __init__(
        self,
        output_dir: str | Path,
        classes: Sequence[str],
        group_key: str = "grade",
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        tolerance_mm: float = 0.0,
        seed: int = 0,
        displacement: Displacement | None = None,
        first_is_finding: bool = False,
    ) -> None:
        self.folder = Path(output_dir)
        self.classes = Classes.of(classes, first_is_finding)
        self.group_key = group_key
        self.score = MapScores(spacing, tolerance_mm)
        self.seed = seed
        self.displacement = displacement
        self.rows: list[dict[str, Any]] = []
        self.places: list[int] = []  # in the cohort, of the subjects whose displacement was measured

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)

    def start(self, engine: Engine) -> None:
        self.rows = []
        self.places = []
        self.score.failures = getattr(engine, "failures", None)
        if self.displacement is not None:
            self.displacement.reset()

    def collect(self, engine: Engine) -> None:
        for item in finished_items(engine):
            row = prediction_row(item, self.classes)
            row |= {"label": int(item["label"]), "group": str(item.get(self.group_key, ""))}
            measured = {**LOCALIZATION, **SIDES} if "regions" in item else LOCALIZATION
            heat = item.get("scored_map", item.get("map"))  # the one on the network's grid
            scores: dict[str, Any] = dict.fromkeys(measured, "")
            if heat is not None and has_lesion(item, self.classes):
                scores = self.score(item, heat[0])
            self.rows.append(row | scores)
            if self.displacement is not None and heat is not None and self.classes.are_marked(int(item["label"])):
                self._displace(engine, item, self.displacement)

    def _displace(self, engine: Engine, item: Mapping[str, Any], displacement: Displacement) -> None:
        """Measure on the maps that were read anyway where they are kept, or else let the network run again."""
        if "own_maps" in item:
            displacement.of_maps(item["own_maps"])
        else:
            network: Any = engine.network  # type: ignore[attr-defined]
            image = torch.as_tensor(item["image"])[None].as_subclass(torch.Tensor)
            displacement(image, getattr(network, "module", network), int(item["label"]))
        self.places += [place(engine.state.iteration)] * (len(displacement.shifts) - len(self.places))

    def finish(self, engine: Engine) -> None:
        rows = gather_rows(self.rows)
        if self.displacement is not None:
            self.displacement.merge(gather(list(zip(self.places, self.displacement.shifts, strict=True))))
        if not rows or not is_main_process():
            return
        write_csv(self.folder / "per_subject.csv", rows)
        metrics = evaluation_summary(rows, self.classes, self.seed)
        if self.displacement is not None:
            metrics["displacement"] = self.displacement.aggregate()
            metrics["warnings"] = [w for w in [displacement_warning(metrics["displacement"])] if w]
            for warning in metrics["warnings"]:
                logger.warning(warning)
        write_json(metrics, self.folder / "metrics.json")
        evaluation_figure(rows, self.classes, self.folder / "evaluation.png")
        print(f"{evaluation_table(metrics)}\nresults: {self.folder}")
        found = metrics["classification"] | metrics["localization"]
        engine.state.metrics |= {k: v for k, v in found.items() if isinstance(v, int | float)}  # for handlers that track


def evaluation_summary(rows: Sequence[Mapping[str, Any]], classes: Classes, seed: int = 0) -> dict[str, Any]:
    """Classification and localisation over all rows of `per_subject.csv`, and by group; intervals are over subjects."""

    def arrays(chosen: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        labels = np.array([r["label"] for r in chosen])
        return labels, np.array([[r[f"probability_{c}"] for c in classes] for r in chosen])

    names = [str(r["subject"]) for r in rows]
    classification = classification_summary(*arrays(rows), classes, seed=seed, subjects=names)
    summary = {"classification": classification, "localization": _localization(rows)}
    by_group = {}
    for group in finding_groups(rows, classes):
        auc = roc_auc(*arrays(told_from(rows, group, classes)))
        by_group[group] = {"auc": auc, **_localization([r for r in rows if r["group"] == group])}
    return summary | {"groups": by_group}


def _localization(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of each measure over the subjects with a mask, and its interval; of several images of one their mean counts."""
    scored = [r for r in rows if r["pixel_ap"] != ""]
    return {"subjects_with_mask": len({r["subject"] for r in scored}), **mean_scores(scored, MEANS)}
