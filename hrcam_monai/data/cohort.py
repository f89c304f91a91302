"""Datasets of a cohort in which a bad scan costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.data import CacheDataset, Dataset, get_track_meta, set_track_meta

from hrcam_monai.data.failures import Failures, reason

__all__ = ["FAILED", "CachedCohort", "CohortDataset"]

FAILED = "failure"  # key of an item that stands for a subject that could not be read


class CohortDataset(Dataset):
    """Streams subjects. One that cannot be read becomes `{"failure", "subject", "image"}`; see `CohortEvaluator`."""

    def _transform(self, index: int) -> Any:
        item = self.data[index]
        try:
            return super()._transform(index)
        except Exception as error:  # whatever a reader or transform throws, the other subjects go on
            return {FAILED: reason(error), "subject": item["subject"], "image": str(item["image"])}


class CachedCohort(CacheDataset):
    """Keeps preprocessed subjects in memory, for training; those that cannot be read are left out and noted.

    Args:
        data: items with `image` and `subject`.
        transform: MONAI transforms; all before the first random one are run once.
        failures: where failed subjects are noted.
        num_workers: threads that fill the cache.

    Raises:
        RuntimeError: no subject is left.
    """

    def __init__(
        self, data: Sequence[dict[str, Any]], transform: Callable[..., Any], failures: Failures, *, num_workers: int | None = 2
    ) -> None:
        self.failures = failures
        super().__init__(list(data), transform, num_workers=num_workers, copy_cache=True)

    def items(self) -> list[dict[str, Any]]:
        """The preprocessed subjects themselves, in order: what is added to one is there whenever it is drawn."""
        return self._cache  # type: ignore[return-value]

    def _transform(self, index: int) -> Any:
        # what is random is for training alone, which needs no history of its transforms: to keep one doubles their time
        tracked = get_track_meta()
        set_track_meta(False)
        try:
            return super()._transform(index)
        finally:
            set_track_meta(tracked)

    def _load_cache_item(self, idx: int) -> Any:
        try:
            return super()._load_cache_item(idx)
        except Exception as error:
            item = self.data[idx]
            self.failures.add(str(item.get("subject", idx)), str(item["image"]), error)
            return None

    def _fill_cache(self, indices: Any = None) -> list[Any]:
        cache = super()._fill_cache(indices)
        kept = [i for i, item in enumerate(cache) if item is not None]
        if not kept:
            raise RuntimeError(f"No subject could be read; see {self.failures.path}.")
        self.data = [self.data[i] for i in kept]
        self.cache_num = len(kept)
        return [cache[i] for i in kept]
