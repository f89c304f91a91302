from __future__ import annotations

import numpy as np
import pytest

from hrcam_monai.figures import map_panel


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 6)])
def test_panel_shows_the_slice_of_the_maximum_in_colour(shape):
    image = np.random.default_rng(0).random(shape) + 1
    heat = np.zeros(shape)
    clear = np.asarray(map_panel(image, heat))
    heat[10:14, 10:14] = 2.0
    hot = np.asarray(map_panel(image, heat))
    colourful = lambda p: (p.max(-1).astype(int) - p.min(-1) > 60).sum()  # noqa: E731
    assert colourful(clear) == 0
    assert colourful(hot) > 100
