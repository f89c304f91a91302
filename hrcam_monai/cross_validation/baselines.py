"""Simple classifiers beside the network, on the same folds: a few numbers a subject, and logistic regression.

A new baseline is one decorated function in this file, or in yours: it turns one preprocessed image into named numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import kurtosis, skew

from hrcam_monai.brain import voxel_mm3
from hrcam_monai.data.manifest import CRUS, LEFT, RIGHT
from hrcam_monai.data.reading import ScanError, read_scan
from hrcam_monai.transforms.regions import region_values

__all__ = ["BASELINES", "baseline", "contrast_ratio", "intensity_and_size", "out_of_fold"]

Features = Callable[[Mapping[str, Any]], dict[str, float]]


@dataclass(frozen=True)
class _Baseline:
    """What a classifier of the cohort is made from.

    Attributes:
        features: one item (the manifest's entry with `image` [1, X, Y, Z] as the network sees it and `file`, the path it
            was read from) -> named numbers, the same names for every item.
        keys: entries of the manifest that every image must have.
        notes: what the numbers are, for the page.
    """

    features: Features
    keys: tuple[str, ...] = ()
    notes: str = ""


BASELINES: dict[str, _Baseline] = {}


def baseline(name: str, keys: Sequence[str] = (), notes: str = "") -> Callable[[Features], Features]:
    """Register a function as a baseline.

    Example:
        >>> @baseline("mean", notes="mean of the image")
        ... def mean_of_image(item):
        ...     return {"mean": float(item["image"].mean())}
        >>> BASELINES.pop("mean").notes
        'mean of the image'
    """

    def register(features: Features) -> Features:
        BASELINES[name] = _Baseline(features, tuple(keys), notes)
        return features

    return register


@baseline("intensity and size", notes="shape of the histogram within the head, volumes of outliers, size of the head")
def intensity_and_size(item: Mapping[str, Any]) -> dict[str, float]:
    """First-order numbers of the voxels that are not air; volumes in ml.

    Mean and standard deviation are those of the image as the network gets it: where preprocessing makes them 0 and 1,
    they tell nothing, to either. Outliers are told by the median and the median absolute deviation.
    """
    image = item["image"]
    values = torch.as_tensor(image).as_subclass(torch.Tensor).double().numpy()
    values = values[values != 0]
    ml = voxel_mm3(image.affine) / 1000
    middle = np.median(values)
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), 1e-6)
    robust = (values - middle) / spread
    found = {"mean": float(values.mean()), "sd": float(values.std())}
    found |= {"skewness": float(skew(values)), "kurtosis": float(kurtosis(values))}
    found |= {f"percentile_{q}": float(np.percentile(values, q)) for q in (1, 5, 25, 50, 75, 95, 99)}
    found |= {f"ml_above_{z}": float((robust > z).sum()) * ml for z in (2, 3, 4)}
    found |= {f"ml_below_{z}": float((robust < -z).sum()) * ml for z in (2, 3, 4)}
    return found | {"ml_head": len(values) * ml}


@baseline(
    "contrast ratio",
    keys=("regions",),
    notes="substantia nigra against crus cerebri, each side: (mean - mean of the crus) / mean of the crus",
)
def contrast_ratio(item: Mapping[str, Any]) -> dict[str, float]:
    """Contrast ratios of neuromelanin MRI, from the scan's own intensities: normalised ones have no ratio.

    `regions` is a label image on any grid: 1 the crus cerebri, 2 and 3 the left and right substantia nigra.

    Raises:
        ScanError: one of the regions is empty, or outside the scan.
    """
    scan = read_scan(item["file"])

    def mean(label: int) -> float:
        values = region_values(scan, item["regions"], label).astype(float)
        if not len(values):
            raise ScanError(f"{item['regions']}: has no voxel of label {label} within {item['file']}; draw 1 to 3.")
        return float(values.mean())

    crus = mean(CRUS)
    return {f"contrast_{side}": (mean(label) - crus) / crus for side, label in (("left", LEFT), ("right", RIGHT))}


def out_of_fold(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities of each subject from a standardised logistic regression that was fitted on the other folds.

    Args:
        features: [N, F].
        labels: [N] integers.
        folds: [N] in which each is held out.
        classes: K.

    Returns:
        [N, K].
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.zeros((len(labels), classes))
    for fold in np.unique(folds):
        held_out = folds == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        model.fit(features[~held_out], labels[~held_out])
        found[np.ix_(held_out, model.classes_)] = model.predict_proba(features[held_out])
    return found
