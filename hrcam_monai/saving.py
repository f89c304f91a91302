"""Maps are written while the network is at the next subject: compressing a NIfTI takes longer than a GPU takes for its map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monai.transforms import SaveImaged


class SaveBehindd(SaveImaged):
    """MONAI's SaveImaged in a thread of its own; the future is added to the list `written`.

    Whoever notes a subject as done waits for its futures first: `PredictionWriter` does.

    Args:
        args, kwargs: of `SaveImaged`.

    Example:
        >>> saver = SaveBehindd("map", output_dir="/tmp/maps")  # doctest: +SKIP
        >>> [future.result() for future in saver(item)["written"]]  # doctest: +SKIP
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pool = ThreadPoolExecutor(1)  # SaveImage keeps its writer on itself: never two calls at once

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        future = self.pool.submit(super().__call__, {k: v for k, v in d.items() if k != "written"})
        return {**d, "written": [*d.get("written", ()), future]}
