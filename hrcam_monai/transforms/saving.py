"""Maps are written while the network is at the next subject: compressing a NIfTI takes longer than a GPU takes for its map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from monai.transforms import SaveImaged

from hrcam_monai.data.pictures import is_picture, write_picture

FORMATS = {"map": ".tif", "label": ".png"}  # of what is made of a picture: TIFF holds floating-point values, viewers open PNG


def written_map(folder: Path, subject: str, kind: str = "map") -> Path:
    """Where inference has written a subject's `map` or `label`: NIfTI, or a picture where the image was one.

    Example:
        >>> written_map(Path("bundle/eval"), "sub-01").name
        'sub-01_map.nii.gz'
    """
    picture = folder / "maps" / f"{subject}_{kind}{FORMATS[kind]}"
    return picture if picture.is_file() else folder / "maps" / f"{subject}_{kind}.nii.gz"


class SaveBehindd(SaveImaged):
    """MONAI's SaveImaged in a thread of its own; the future is added to the list `written`.

    What was made of a picture becomes a picture on the same pixels.

    Whoever notes a subject as done waits for its futures first: `PredictionWriter` does.

    Args:
        keys: of one map.
        output_dir: folder of the files.
        output_postfix: what follows the subject in their names, `map` or `label`.
        output_dtype: of the values.
        kwargs: others of `SaveImaged`.

    Example:
        >>> saver = SaveBehindd("map", output_dir="/tmp/maps")  # doctest: +SKIP
        >>> [future.result() for future in saver(item)["written"]]  # doctest: +SKIP
    """

    def __init__(
        self,
        keys: str,
        output_dir: str | Path,
        output_postfix: str = "map",
        output_dtype: torch.dtype = torch.float32,
        **kwargs: Any,
    ) -> None:
        super().__init__(keys, output_dir=output_dir, output_postfix=output_postfix, output_dtype=output_dtype, **kwargs)  # type: ignore[arg-type]
        self.folder, self.kind, self.dtype = Path(output_dir), output_postfix, output_dtype
        self.pool = ThreadPoolExecutor(1)  # SaveImage keeps its writer on itself: never two calls at once

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.allow_missing_keys and not any(key in d for key in self.keys):
            return d
        kept = {k: v for k, v in d.items() if k != "written"}
        save = self._picture if is_picture(str(d.get("file", ""))) else super().__call__
        return {**d, "written": [*d.get("written", ()), self.pool.submit(save, kept)]}

    def _picture(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        for key in self.keys:
            values = torch.as_tensor(data[key])[0].to(self.dtype).cpu().numpy()
            write_picture(values, self.folder / f"{data['subject']}_{self.kind}{FORMATS[self.kind]}")
        return data
