"""Shared by all tests: tiny images, tiny cohorts, and the real data where it is present."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from hrcam_monai.phantoms.simulate import simulate_cohort

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("HRCAM_REAL_DATA", ROOT.parent / "shared" / "data"))

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set HRCAM_REAL_DATA")
    return REAL_DATA


@pytest.fixture(scope="session")
def bundle_root() -> Path:
    return ROOT / "bundle"


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve simulated heads at 4 mm: four in each split."""
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(folder, subjects=12, seed=5, spacing=4.0, split=(1, 1, 1), workers=1)
    return folder


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A small blob of a head with a 1 mm affine."""
    path = tmp_path / "head.nii.gz"
    save_head(path)
    return path


@contextmanager
def _no_room(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: to whoever writes it is as a full disk, for C code, too."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def no_room() -> Callable[[int], AbstractContextManager[None]]:
    """`with no_room(100):` is as a disk on which no file of more than 100 bytes has room."""
    pytest.importorskip("resource")
    return _no_room


def save_head(path: Path, shape: tuple[int, ...] = (20, 24, 16), affine: np.ndarray | None = None) -> None:
    """Write an ellipsoid of noise around 100."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in shape], indexing="ij"))
    inside = (grid**2).sum(0) < 1
    values = np.random.default_rng(0).normal(100, 10, shape).astype(np.float32) * inside
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
