from __future__ import annotations

import numpy as np

from hrcam_monai.phantoms.intensities import matched, step


def test_a_step_is_soft_and_bounded():
    x = np.linspace(-1e6, 1e6, 7)
    found = step(x, 0.1)
    assert found[3] == 0.5
    assert (np.diff(found) >= 0).all()
    np.testing.assert_allclose(found[[0, -1]], [0, 1], atol=1e-12)


def test_matched_values_have_the_wanted_histogram_and_the_order_of_the_first():
    rng = np.random.default_rng(0)
    values, wanted = rng.normal(size=200), rng.uniform(size=200)
    found = matched(values, wanted)
    np.testing.assert_array_equal(np.sort(found), np.sort(wanted))
    np.testing.assert_array_equal(np.argsort(found), np.argsort(values))
