"""Group statistics of maps, voxel by voxel: pure functions on arrays [subjects, voxels]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nilearn.mass_univariate import permuted_ols

__all__ = ["Difference", "group_difference"]


@dataclass(frozen=True, eq=False)
class Difference:
    """One group's maps less the others', voxel by voxel.

    Attributes:
        mean: difference of means [V], logits; covariates are not taken out of it.
        t: of the group in a linear model with the covariates [V].
        p: two-sided, corrected for all voxels by the permutations' largest |t| [V].
        permutations: how many.
    """

    mean: np.ndarray
    t: np.ndarray
    p: np.ndarray
    permutations: int


def group_difference(
    values: np.ndarray, member: np.ndarray, covariates: np.ndarray | None = None, permutations: int = 1000, seed: int = 0
) -> Difference:
    """Compare a group with the others, with a max-statistic permutation test over voxels.

    Args:
        values: [N, V], finite; a voxel that is the same in all has t 0 and p 1.
        member: [N] booleans, who belongs to the group.
        covariates: [N, C], taken out of the comparison; their scale does not matter.
        permutations: of the group labels (with covariates: of the residuals, Freedman and Lane).
        seed: of the permutations.

    Raises:
        ValueError: fewer than two subjects on a side, more unknowns than subjects, covariates that do not vary by themselves,
            or nothing that varies.

    Source: Nichols and Holmes, Human Brain Mapping 2002; nilearn's `permuted_ols`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> values = rng.normal(size=(20, 50))
        >>> values[:10, 3] += 5
        >>> found = group_difference(values, np.arange(20) < 10, permutations=99)
        >>> int(found.p.argmin()), float(found.p.min())
        (3, 0.01)
    """
    inside = int(member.sum())
    if min(inside, len(member) - inside) < 2:
        raise ValueError(f"{inside} subjects in the group and {len(member) - inside} outside; a comparison needs two of each.")
    unknowns = 2 + (0 if covariates is None else covariates.shape[1])
    if len(member) <= unknowns:
        raise ValueError(f"{len(member)} subjects are too few for {unknowns - 2} covariates; leave some out.")
    if covariates is not None:
        design = np.column_stack([np.ones(len(member)), member, covariates / np.maximum(np.abs(covariates).max(0), 1e-12)])
        if np.linalg.matrix_rank(design) < unknowns:
            raise ValueError("the covariates are the same in all subjects, or tell the groups or each other; leave some out.")
        covariates = (covariates - covariates.mean(0)) / np.maximum(covariates.std(0), 1e-12)
    varied = np.ptp(values, axis=0) > 0
    if not varied.any():
        raise ValueError("the maps are the same in all subjects; there is nothing to compare.")
    found = permuted_ols(
        member.astype(float)[:, None] - member.mean(),
        values[:, varied].astype(np.float64),
        confounding_vars=covariates,
        model_intercept=True,
        n_perm=permutations,
        two_sided_test=True,
        random_state=seed,
        output_type="dict",
    )
    mean = values[member].mean(0) - values[~member].mean(0)
    t, p = np.zeros(len(varied)), np.ones(len(varied))
    t[varied], p[varied] = found["t"][0], 10.0 ** -found["logp_max_t"][0]
    return Difference(mean, t, p, permutations)
