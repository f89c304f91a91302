"""Compare methods over a cohort: a row a scan and method, a table with intervals, and figures."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from hrcam_monai.compare.figures import comparison_panel, summary_figure
from hrcam_monai.compare.maps import Candidate, PeerMaps
from hrcam_monai.compare.peers import PEERS
from hrcam_monai.compare.table import comparison_summary, markdown
from hrcam_monai.data.cohort import FAILED
from hrcam_monai.data.failures import Failures, writable_folder
from hrcam_monai.metrics.detection import LesionDetection
from hrcam_monai.metrics.displacement import Displacement
from hrcam_monai.metrics.faithfulness import deletion_insertion
from hrcam_monai.metrics.measures import FAITHFULNESS, LOCALIZATION, SIDES
from hrcam_monai.networks import HRCAMNet
from hrcam_monai.transforms.scores import MapScores, has_lesion
from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.csv_files import append_csv, read_csv, write_csv
from hrcam_monai.utils.environment import environment
from hrcam_monai.utils.files import write_json, write_text
from hrcam_monai.utils.fingerprint import fingerprint
from hrcam_monai.utils.run_settings import RunSettings
from hrcam_monai.weights import network_hash

__all__ = ["Comparison", "RowFile", "faithfulness_scores"]

logger = logging.getLogger(__name__)
SLAB = 8  # slices of a volume on which faithfulness is measured: those where the network sees most


class Comparison:
    """HR-CAM beside its peers on the same subjects and, for peers, the same trained networks.

    Localisation is measured on subjects with a mask, on the map of their own class; the AUC on all. Rows are written
    as they are made: a second call with `resume` goes on where the first one stopped.

    Args:
        dataset: preprocessed subjects (`CohortDataset`): image, mask, label, subject.
        candidates: the networks; HR-CAM's maps are read from every `HRCAMNet` among them.
        output_dir: folder of the results.
        classes: names; index 0 is the reference.
        peers_on: names of the candidates that peers are run on; the plain classifiers by default, or the first
            candidate where there is none.
        methods: names of `PEERS`; all that are not slow by default.
        slow: with the slow ones.
        spacing: of the grid, mm.
        tolerance_mm: of the pointing game.
        faithfulness: so many subjects get deletion and insertion too (slow: some thirty forward passes a method).
        alike: the strongest peers are read through HR-CAM's flips and slices, too.
        panels: so many subjects get a picture.
        group_key: manifest entry to report by.
        first_is_finding: the first class is a finding like the others, so its maps are scored, too.
        displacement_axes: axes along which the networks' own maps are tested for displacement, on twenty subjects.
        failures: where subjects that cannot be read are noted.
        samples: of the bootstrap.
        seed: of the bootstrap.
        resume: keep the rows of `per_subject.csv`.

    Raises:
        ValueError: no candidate, two of one name, or an unknown one in `peers_on`; in `run`, rows to keep that were made with
            other networks or settings.
    """

    def __init__(
        self,
        dataset: Iterable[dict[str, Any]],
        candidates: Sequence[Candidate],
        output_dir: str | Path,
        *,
        classes: Sequence[str] = ("normal", "abnormal"),
        peers_on: Sequence[str] | None = None,
        methods: Sequence[str] | None = None,
        slow: bool = False,
        alike: bool = True,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        tolerance_mm: float = 0.0,
        faithfulness: int = 0,
        panels: int = 6,
        group_key: str = "grade",
        first_is_finding: bool = False,
        displacement_axes: Sequence[int] = (0, 1),
        failures: Failures | None = None,
        samples: int = 1000,
        seed: int = 0,
        resume: bool = False,
    ) -> None:
        names = [c.name for c in candidates]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"candidates are {names}; give at least one, each with a name of its own.")
        plain = [c.name for c in candidates if not c.has_maps]
        peers_on = list(peers_on) if peers_on is not None else plain or names[:1]
        unknown = [n for n in peers_on if n not in names]
        if unknown:
            raise ValueError(f"no network '{unknown[0]}' to run peers on; choose among {', '.join(names)}.")
        self.dataset = dataset
        self.candidates = list(candidates)
        self.peers = {c.name: PeerMaps(c, methods=methods, slow=slow, alike=alike) for c in candidates if c.name in peers_on}
        self.displacements = {
            c.name: Displacement(c.inferer.of_own_map(), axes=displacement_axes, spacing=spacing)
            for c in candidates
            if c.has_maps
        }
        self.folder = Path(output_dir)
        self.classes = Classes.of(classes, first_is_finding)
        self.score = MapScores(tuple(spacing), tolerance_mm, failures)
        self.faithfulness = faithfulness
        self.panels = panels
        self.group_key = group_key
        self.failures = failures
        self.samples = samples
        self.seed = seed
        self.resume = resume
        networks = {c.name: [network_hash(c.network), fingerprint(c.inferer)] for c in candidates}
        read = {"preprocessing": getattr(dataset, "transform", None), "spacing": list(spacing), "tolerance_mm": tolerance_mm}
        ran = {"peers": {name: [p.chosen, p.alike] for name, p in self.peers.items()}, "faithfulness": faithfulness}
        findings = {"classes": list(classes), "first_is_finding": first_is_finding, "group_key": group_key}
        self.settings = RunSettings(self.folder, {"networks": networks} | read | ran | findings)

    def run(self) -> dict[str, Any]:
        """Compare, and write `per_subject.csv`, `comparison.json`, `comparison.md`, `summary.png` and `panels/`."""
        writable_folder(self.folder)
        rows = RowFile(self.folder / "per_subject.csv", self.resume)
        if rows.rows and self.settings.changed:
            raise ValueError(
                f"{self.folder}: holds rows made with other settings ({', '.join(self.settings.changed)}); give the same again, "
                "choose another --output, or leave --resume out to start anew."
            )
        self.settings.write()
        measured, asked = 0, set()
        for data in tqdm(self.dataset, desc="compare", unit="subject"):
            if FAILED in data:
                if self.failures is not None:
                    self.failures.add(data["subject"], data["image"], data[FAILED])
                continue
            asked.add(_scan_of(data))
            lesion = has_lesion(data, self.classes)
            drawn = measured
            measured += lesion
            if _scan_of(data) in rows.scans:
                continue
            again = any(subject == data["subject"] for subject, _ in rows.scans)
            panel = self._panel(data, again) if drawn < self.panels else None
            with self.failures.noting([data["subject"]], [_scan_of(data)[1]]) if self.failures is not None else nullcontext():
                rows.add(self._subject(data, lesion, faithful=drawn < self.faithfulness, panel=panel))
        rows.keep(asked)
        if not rows.rows:
            raise ValueError(f"{self.folder}: no subject could be compared; see what is said of each.")
        if not measured:
            logger.warning("no subject has a mask of what its class shows: no map is measured, the networks' answers alone are")
        summary = environment(self.seed) | comparison_summary(rows.rows, self.classes, self.samples, self.seed)
        summary["displacement"] = {name: d.aggregate() for name, d in self.displacements.items()}
        summary["notes"] = {n: PEERS[n].notes for p in self.peers.values() for n in p.made if PEERS[n].notes}
        summary["left_out"] = {f"{n} ({name})": why for name, p in self.peers.items() for n, why in p.left_out.items()}
        write_json(summary, self.folder / "comparison.json")
        write_text(self.folder / "comparison.md", markdown(summary))
        summary_figure(summary, self.folder / "summary.png")
        return summary

    def _panel(self, data: Mapping[str, Any], again: bool) -> Path:
        """The file of a picture: named by the subject, and by the scan too where it is not the subject's first."""
        subject, file = _scan_of(data)
        return self.folder / "panels" / f"{subject}{'_' * again}{Path(file).name.partition('.')[0] * again}.png"

    def _subject(self, data: Mapping[str, Any], lesion: bool, faithful: bool, panel: Path | None) -> list[dict[str, Any]]:
        """Rows of one subject: one a network with its logits; with a lesion one a method besides."""
        image, label = torch.as_tensor(data["image"])[None].as_subclass(Tensor), int(data["label"])
        image = image.to(next(self.candidates[0].network.parameters()).device)
        subject, file = _scan_of(data)
        common = {"subject": subject, "file": file, "group": str(data.get(self.group_key, "")), "label": label}
        rows = []
        maps: dict[str, Tensor] = {}
        owner: dict[str, Candidate] = {}
        for candidate in self.candidates:
            own: dict[str, Tensor] = {}
            if lesion and isinstance(candidate.network, HRCAMNet):
                logits, own = candidate.read(image, label)
                self.displacements[candidate.name](image, candidate.network, label)
            else:
                logits = candidate.logits(image)
            if lesion and candidate.name in self.peers:
                own |= self.peers[candidate.name](image, label)
            probability = 1 - float(logits.softmax(0)[0])
            rows.append(common | {"network": candidate.name, "method": "", "probability": probability})
            maps |= own
            owner |= dict.fromkeys(own, candidate)
        mask = (torch.as_tensor(data["mask"])[0] > 0.5).as_subclass(Tensor) if lesion else None
        for name, heat in maps.items():
            assert mask is not None
            row = common | {"network": owner[name].name, "method": name, "probability": ""}
            row |= self.score(data, heat) | self._peaks(heat, mask)
            if faithful:
                row |= faithfulness_scores(owner[name], image, heat, label)
            rows.append(row)
        if panel is not None and mask is not None:
            shown = {n: m.cpu().numpy() for n, m in maps.items() if "alone" not in n}
            panel.parent.mkdir(exist_ok=True)
            comparison_panel(image[0, 0].cpu().numpy(), mask.numpy(), shown, panel, str(common["group"]))
        return rows

    def _peaks(self, heat: Tensor, mask: Tensor) -> dict[str, str]:
        """The peaks of a map beside the lesions and in them, as text: what FROC is made of, over all subjects."""
        detection = LesionDetection(spacing=self.score.spacing)
        detection(heat.cpu()[None, None], mask[None, None])
        found = {"false_peaks": detection.wrong[0], "lesion_peaks": detection.hit[0]}
        return {key: " ".join(f"{v:.5g}" for v in peaks) for key, peaks in found.items()}


def _scan_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """What tells a row from others: the subject, and the file, for one may have several scans.

    Example:
        >>> _scan_of({"subject": "sub-01", "file": "sub-01_ses-2.nii.gz"})
        ('sub-01', 'sub-01_ses-2.nii.gz')
    """
    return str(row["subject"]), str(row.get("file", ""))


def faithfulness_scores(candidate: Candidate, image: Tensor, heat: Tensor, class_idx: int) -> dict[str, float]:
    """Deletion and insertion AUC of the candidate's own probability; a 2-D network is asked about a slab of slices.

    The slab is the eight slices in a row where the network sees most of the class; no mask is needed to find it.
    """
    axis = candidate.inferer.slice_axis
    if axis is not None and image.shape[axis + 2] > SLAB:
        slices = image.movedim(axis + 2, 1)[0]
        with torch.no_grad():
            scores = candidate.network(slices).softmax(1)[:, class_idx]
        start = int(scores.unfold(0, SLAB, 1).mean(1).argmax())
        image, heat = image.narrow(axis + 2, start, SLAB), heat.narrow(axis, start, SLAB)

    def score(x: Tensor) -> Tensor:
        return torch.stack([candidate.logits(one[None]).softmax(0)[class_idx] for one in x])

    curves = deletion_insertion(heat, image[0], score)
    return {"deletion_auc": curves.deletion_auc, "insertion_auc": curves.insertion_auc}


COLUMNS = (
    *("subject", "file", "group", "label", "network", "method", "probability"),
    *(*LOCALIZATION, *SIDES, "false_peaks", "lesion_peaks", *FAITHFULNESS),
)
FORM = ".6g"  # of floats: peaks and areas differ by orders of magnitude


class RowFile:
    """Rows in a CSV file that grows scan by scan.

    Args:
        path: the file.
        resume: keep what it holds; otherwise it starts anew, as it does where rows do not name their files.
    """

    def __init__(self, path: Path, resume: bool = False) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if resume and path.exists():
            self.rows = [row for row in read_csv(path) if "file" in row]
        self.scans = set(map(_scan_of, self.rows))
        write_csv(path, self.rows, COLUMNS, FORM)  # without a line that an interruption has cut

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """The rows of one scan."""
        append_csv(self.path, rows, COLUMNS, FORM)
        self.rows += rows
        self.scans |= set(map(_scan_of, rows))

    def keep(self, scans: Collection[tuple[str, str]]) -> None:
        """Drop the rows of what is not among these scans, as those of another split."""
        if not self.scans <= set(scans):
            self.rows = [row for row in self.rows if _scan_of(row) in scans]
            self.scans &= set(scans)
            write_csv(self.path, self.rows, COLUMNS, FORM)
