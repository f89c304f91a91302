"""Which subject trains, validates and is held out in which fold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrcam_monai.data.manifest import FILES, SPLITS, Manifest, ManifestError

__all__ = ["assign_folds", "check_size", "fold_manifest", "subject_labels"]

Entry = dict[str, Any]
VALIDATION_FOLDS = 5  # one part in five of what trains is taken for validation, more where a class is rare


def subject_labels(entries: Sequence[Entry]) -> dict[str, int]:
    """The label of each subject, subjects by name.

    Raises:
        ManifestError: a subject with two labels, or one named as the outputs of another's second image are.

    Example:
        >>> subject_labels([{"subject": "b", "label": 0}, {"subject": "a", "label": 1}])
        {'a': 1, 'b': 0}
    """
    labels: dict[str, int] = {}
    images = Counter(entry["subject"] for entry in entries)
    for entry in entries:
        name, label = entry["subject"], int(entry["label"])
        if labels.setdefault(name, label) != label:
            raise ManifestError(
                f"subject '{name}' has images of two classes; cross-validation deals out subjects by class: list images of one."
            )
    for name, count in images.items():
        taken = [f"{name}_{i}" for i in range(2, count + 1) if f"{name}_{i}" in images]
        if taken:
            raise ManifestError(f"subject '{taken[0]}' has the name of another image of '{name}'; rename one of them.")
    return dict(sorted(labels.items()))


def _least_subjects(folds: int) -> int:
    """Subjects of a class that are needed: one held out in every fold, one for training and one for validation beside.

    Example:
        >>> [_least_subjects(k) for k in (2, 3, 5)]
        [4, 3, 5]
    """
    return 4 if folds == 2 else folds


def check_size(labels: Mapping[str, int], folds: int, classes: Sequence[str]) -> None:
    """See that there are subjects enough of each class.

    Raises:
        ManifestError: there are not; the message names the class, how many there are, and what to do.
    """
    if folds < 2:
        raise ManifestError(f"--folds {folds}: give 2 or more.")
    counts = {name: sum(label == i for label in labels.values()) for i, name in enumerate(classes)}
    rare = min(counts, key=lambda name: counts[name])
    if counts[rare] >= _least_subjects(folds):
        return
    possible = [k for k in range(2, folds) if counts[rare] >= _least_subjects(k)]
    remedy = f", or give --folds {possible[-1]}" if possible else ""
    raise ManifestError(
        f"class '{rare}' has {counts[rare]} subjects, {folds} folds need {_least_subjects(folds)} of each class; "
        f"add subjects{remedy}."
    )


def assign_folds(labels: Mapping[str, int], folds: int, seed: int) -> list[dict[str, str]]:
    """The split of each subject in each fold; every subject is held out (`test`) exactly once.

    Stratified by label: each class is in every part of every fold. The same subjects, labels and seed give the same
    folds, in whatever order they are listed.

    Args:
        labels: of each subject; `check_size` has passed.
        folds: how many.
        seed: of the shuffle.

    Example:
        >>> made = assign_folds({f"s{i}": i % 2 for i in range(10)}, 5, 0)
        >>> sorted(made[0].values()).count("test"), sorted(s for f in made for s in f if f[s] == "test") == sorted(made[0])
        (2, True)
    """
    from sklearn.model_selection import StratifiedKFold

    names = sorted(labels)
    outer = StratifiedKFold(folds, shuffle=True, random_state=seed)
    made = []
    for rest, held_out in outer.split(names, [labels[n] for n in names]):
        left = [names[i] for i in rest]
        own = [labels[n] for n in left]
        inner = StratifiedKFold(min(VALIDATION_FOLDS, *Counter(own).values()), shuffle=True, random_state=seed)
        _, validation = next(inner.split(left, own))
        split = dict.fromkeys(left, "training")
        split |= {left[i]: "validation" for i in validation}
        split |= {names[i]: "test" for i in held_out}
        made.append(split)
    return made


def fold_manifest(manifest: Manifest, root: Path, split: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of one fold; its paths start from `root`, the data folder, and so no image is copied.

    Args:
        manifest: of the whole cohort.
        root: folder that its paths start from.
        split: of each subject in this fold.
    """
    sections: dict[str, list[Entry]] = {name: [] for name in SPLITS}
    for entries in manifest.entries.values():
        for entry in entries:
            raw = {k: v for k, v in entry.items() if k != "split"} | {"label": manifest.classes[entry["label"]]}
            raw |= {k: Path(os.path.relpath(entry[k], root)).as_posix() for k in FILES if k in entry}
            sections[split[entry["subject"]]].append(raw)
    return {"classes": manifest.classes, **sections}
