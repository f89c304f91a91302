"""Maps are written while the network is at the next subject: compressing a NIfTI takes longer than a GPU takes for its map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, SaveImaged

from hrcam_monai.data.pictures import is_picture, write_picture
from hrcam_monai.data.writing import write_volume
from hrcam_monai.utils.files import writing

__all__ = ["SaveBehindd", "written_map"]

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
    """Writes maps in a thread of its own, whole or not at all; the future is added to the list `written`.

    They are NIfTI, or where the image was a picture a picture on the same pixels. Maps of several classes are one NIfTI file
    of as many volumes; of pictures none is written.

    Whoever notes a subject as done waits for its futures first: `PredictionWriter` does. It is a `SaveImaged` by name alone, for
    a MONAI Label server takes those out and writes its answer itself.

    Args:
        keys: of a map [1, X, Y, Z] or of those of all classes [K, X, Y, Z], with its affine.
        output_dir: folder of the files.
        output_postfix: what follows the subject in their names: `map`, `label`, `brain` or `classes`.
        output_dtype: of the values.
        allow_missing_keys: pass on subjects without the map.
        _options: of MONAI's `SaveImaged`, which configs of earlier versions name; nothing is resampled here.

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
        allow_missing_keys: bool = False,
        **_options: Any,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.folder, self.kind, self.dtype = Path(output_dir), output_postfix, output_dtype
        self.pool = ThreadPoolExecutor(1)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        picture = is_picture(str(d.get("file", "")))
        if picture and self.kind not in FORMATS:
            return d
        save = self._picture if picture else self._volume
        made = [self.pool.submit(save, d[key], str(d["subject"])) for key in self.key_iterator(d)]
        return {**d, "written": [*d.get("written", ()), *made]} if made else d

    def _volume(self, heat: Any, subject: str) -> Path:
        path = self._path(subject, ".nii.gz")
        write_volume(self._values(heat), np.asarray(heat.affine, dtype=float), path)
        if self.kind in FORMATS:
            self._path(subject, FORMATS[self.kind]).unlink(missing_ok=True)  # of another image of that name
        return path

    def _picture(self, heat: Any, subject: str) -> Path:
        path = self._path(subject, FORMATS[self.kind])
        write_picture(self._values(heat), path)
        self._path(subject, ".nii.gz").unlink(missing_ok=True)
        return path

    def _values(self, heat: Any) -> np.ndarray:
        values = torch.as_tensor(heat).to(self.dtype).movedim(0, -1).cpu().numpy()
        return values[..., 0] if values.shape[-1] == 1 else values

    def _path(self, subject: str, suffix: str) -> Path:
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{subject}_{self.kind}{suffix}"
