"""An Ignite handler that scores labelled subjects: tables, metrics and a figure."""

from __future__ import annotations

import logging
from collections import defaultdict
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
from hrcam_monai.metrics.cohort import finding_groups, summarize, told_from
from hrcam_monai.metrics.displacement import Displacement, displacement_warning
from hrcam_monai.metrics.localization import localization_scores
from hrcam_monai.metrics.measures import LOCALIZATION, MEANS, SIDES
from hrcam_monai.transforms.regions import side_scores
from hrcam_monai.utils.csv_files import write_csv
from hrcam_monai.utils.distributed import gather, gather_rows, is_main_process, place
from hrcam_monai.utils.files import write_json

logger = logging.getLogger(__name__)


class EvaluationWriter:
    """Scores labelled subjects: `per_subject.csv`, `metrics.json` and `evaluation.png`.

    Classification is scored over all subjects; localisation over those whose mask is not empty, on the class map of
    their own label (`ReadPredictiond(map_class="label")`), on the network's grid; where there are `regions`, so is
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
        self.classes = list(classes)
        self.group_key = group_key
        self.spacing = spacing
        self.tolerance_mm = tolerance_mm
        self.seed = seed
        self.displacement = displacement
        self.least = 0 if first_is_finding else 1  # the first class whose maps mark something
        self.rows: list[dict[str, Any]] = []
        self.places: list[int] = []  # in the cohort, of the subjects whose displacement was measured

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)

    def start(self, _engine: Engine) -> None:
        self.rows = []
        self.places = []
        if self.displacement is not None:
            self.displacement.reset()

    def collect(self, engine: Engine) -> None:
        for item in finished_items(engine):
            row = prediction_row(item, self.classes)
            row |= {"label": int(item["label"]), "group": str(item.get(self.group_key, ""))}
            sided = "regions" in item
            scores: dict[str, Any] = dict.fromkeys({**LOCALIZATION, **SIDES} if sided else LOCALIZATION, "")
            if "map" in item and "mask" in item and int(item["label"]) >= self.least and bool((item["mask"] > 0.5).any()):
                heat, mask = item["map"][0].cpu().numpy(), item["mask"][0].cpu().numpy() > 0.5
                scores = localization_scores(heat, mask, self.spacing[: heat.ndim], self.tolerance_mm)
                if sided:
                    scores |= self._sides(engine, item, heat, mask)
            self.rows.append(row | scores)
            if self.displacement is not None and "map" in item and int(item["label"]) >= self.least:
                network: Any = engine.network  # type: ignore[attr-defined]
                image = torch.as_tensor(item["image"])[None].as_subclass(torch.Tensor)
                self.displacement(image, getattr(network, "module", network), int(item["label"]))
                self.places += [place(engine.state.iteration)] * (len(self.displacement.shifts) - len(self.places))

    def _sides(self, engine: Engine, item: Mapping[str, Any], heat: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
        """Sides of one subject; regions that cannot be read are noted, and cost only these."""
        try:
            return dict(side_scores(heat, mask, item["image"], item["regions"]))
        except Exception as error:
            engine.failures.add(str(item["subject"]), str(item["regions"]), error)  # type: ignore[attr-defined]
            return dict.fromkeys(SIDES, "")

    def finish(self, engine: Engine) -> None:
        rows = gather_rows(self.rows)
        if self.displacement is not None:
            self.displacement.merge(gather(list(zip(self.places, self.displacement.shifts, strict=True))))
        if not rows or not is_main_process():
            return
        write_csv(self.folder / "per_subject.csv", rows)
        metrics = evaluation_summary(rows, self.classes, self.seed, self.least == 0)
        if self.displacement is not None:
            metrics["displacement"] = self.displacement.aggregate()
            metrics["warnings"] = [w for w in [displacement_warning(metrics["displacement"])] if w]
            for warning in metrics["warnings"]:
                logger.warning(warning)
        write_json(metrics, self.folder / "metrics.json")
        evaluation_figure(rows, self.classes, self.folder / "evaluation.png", self.least == 0)
        print(evaluation_table(metrics))
        found = metrics["classification"] | metrics["localization"]
        engine.state.metrics |= {k: v for k, v in found.items() if isinstance(v, int | float)}  # for handlers that track


def evaluation_summary(
    rows: Sequence[Mapping[str, Any]], classes: Sequence[str], seed: int = 0, first_is_finding: bool = False
) -> dict[str, Any]:
    """Classification and localisation over all rows of `per_subject.csv`, and by group; intervals are over subjects."""

    def arrays(chosen: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        labels = np.array([r["label"] for r in chosen])
        return labels, np.array([[r[f"probability_{c}"] for c in classes] for r in chosen])

    names = [str(r["subject"]) for r in rows]
    classification = classification_summary(*arrays(rows), classes, seed, names)
    summary = {"classification": classification, "localization": _localization(rows)}
    by_group = {}
    for group in finding_groups(rows, first_is_finding):
        auc = roc_auc(*arrays(told_from(rows, group, first_is_finding)))
        by_group[group] = {"auc": auc, **_localization([r for r in rows if r["group"] == group])}
    return summary | {"groups": by_group}


def _localization(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of each measure over the subjects with a mask, and its interval; of several images of one their mean counts."""
    scored = [r for r in rows if r["pixel_ap"] != ""]
    found: dict[str, Any] = {"subjects_with_mask": len({r["subject"] for r in scored})}
    for key in MEANS:
        values: dict[str, list[float]] = defaultdict(list)
        for row in scored:
            if row.get(key, "") != "":
                values[row["subject"]].append(row[key])
        if any(key in r for r in scored):
            summary = summarize([float(np.mean(own)) for own in values.values()])
            found |= {key: summary.mean, f"{key}_ci95": [summary.low, summary.high]}
    return found
