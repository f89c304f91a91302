import numpy as np
import pytest

from hrcam_monai.group.statistics import group_difference


def data(seed=0, subjects=24, voxels=40):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(subjects, voxels)), np.arange(subjects) % 2 == 0


def test_a_difference_is_found_with_its_sign():
    values, member = data()
    values[member, 5] += 3
    values[member, 9] -= 3
    found = group_difference(values, member, permutations=199)
    assert set(found.p.argsort()[:2]) == {5, 9}
    assert found.p[[5, 9]].max() <= 0.01
    assert found.t[5] > 0 > found.t[9]
    assert np.allclose(found.mean, values[member].mean(0) - values[~member].mean(0))


def test_t_is_the_two_sample_t():
    from scipy.stats import ttest_ind

    values, member = data()
    assert np.allclose(group_difference(values, member, permutations=99).t, ttest_ind(values[member], values[~member])[0])


def test_chance_alone_is_corrected_for():
    """With forty voxels of noise, some p below 0.05 in one of twenty cohorts, not in most."""
    least = [group_difference(*data(seed), permutations=99).p.min() for seed in range(40)]
    assert np.mean(np.array(least) <= 0.05) <= 0.15


def test_a_covariate_is_taken_out():
    values, member = data()
    age = np.where(member, 70.0, 50.0) + np.random.default_rng(1).normal(0, 3, len(member))
    values[:, 7] += 0.3 * age
    assert group_difference(values, member, permutations=199).p[7] < 0.05
    assert group_difference(values, member, age[:, None], permutations=199).p[7] > 0.05


def test_order_of_subjects_and_voxels_that_never_change_do_not_matter():
    values, member = data()
    values[:, 3] = 1.0
    found = group_difference(values, member, permutations=99)
    assert (found.t[3], found.p[3]) == (0, 1)
    turned = group_difference(values[::-1], member[::-1], permutations=99)
    assert np.allclose(turned.t, found.t)


def test_covariates_that_tell_nothing_by_themselves_are_refused():
    rng = np.random.default_rng(0)
    values, member = rng.normal(size=(12, 5)), np.arange(12) < 6
    for covariate in (np.full(12, 3.0), 2.0 * member + 1):
        with pytest.raises(ValueError, match="the covariates are the same in all subjects, or tell the groups or each other"):
            group_difference(values, member, covariate[:, None], permutations=9)


def test_bad_input():
    values, member = data(subjects=6)
    with pytest.raises(ValueError, match="1 subjects in the group and 5 outside; a comparison needs two of each"):
        group_difference(values, np.arange(6) < 1)
    with pytest.raises(ValueError, match="6 subjects are too few for 4 covariates"):
        group_difference(values, member, np.random.default_rng(0).normal(size=(6, 4)))
    with pytest.raises(ValueError, match="the maps are the same in all subjects"):
        group_difference(np.zeros((6, 3)), member)
