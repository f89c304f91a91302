import json

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hrcam_monai.data.sidecar import TOOL
from hrcam_monai.group.space import NotAlignedError, check_alignment, on_template, scan_to_template, template


def volume(affine, shape=(60, 60, 60)):
    """An image of x, y and z in one: values are 100 + x + 2 y - z of the world."""
    world = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    return nib.Nifti1Image((100 + world @ [1, 2, -1]).astype(np.float32), affine)


@pytest.mark.parametrize("kind", ["ras", "lps", "oblique"])
def test_world_coordinates_are_kept_from_any_grid(kind):
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    if kind == "lps":
        affine = np.diag([-3.0, -3.0, 3.0, 1.0])
    elif kind == "oblique":
        affine[:3, :3] = Rotation.from_euler("xyz", [10, -15, 20], degrees=True).as_matrix() * 3
    affine[:3, 3] = -affine[:3, :3] @ [29.5, 29.5, 29.5]
    found = on_template(volume(affine), 4)
    grid = template(4)[0]
    world = np.moveaxis(np.indices(found.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    seen = np.isfinite(found)
    inner = seen & (np.linalg.norm(world, axis=-1) < 60)
    assert inner.sum() > 1000
    assert np.allclose(found[inner], (100 + world @ [1, 2, -1])[inner], atol=0.01)
    assert not seen.all()


def test_the_template_is_aligned_and_what_lies_elsewhere_is_not():
    brain = template(4)[1].astype(float)
    check_alignment(brain, 4)
    check_alignment(np.where(np.arange(brain.shape[2]) // 2 == 10, brain, np.nan), 4)  # a slab
    check_alignment(np.ones_like(brain), 4)  # a whole head holds the brain
    with pytest.raises(NotAlignedError, match=r"only \d+% of its tissue lies in the template's brain; register the scans"):
        check_alignment(np.roll(brain, 12, 1), 4)
    with pytest.raises(NotAlignedError, match="only 0% of its tissue"):
        check_alignment(np.zeros_like(brain), 4)


def test_a_scan_on_its_own_grid_is_taken_the_way_its_sidecar_says(tmp_path):
    truth = np.eye(4)
    truth[:3, :3] = Rotation.from_euler("xyz", [10, -15, 20], degrees=True).as_matrix()
    truth[:3, 3] = [30, -12, 7]  # template to scan
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -88.5
    scan = nib.Nifti1Image(np.asarray(volume(affine).dataobj), truth @ affine)  # values tell where the template is
    file, record = str(tmp_path / "s.nii.gz"), tmp_path / "s.json"
    assert scan_to_template(file) is None
    record.write_text(json.dumps({"tool": TOOL, "template_to_scan": truth.tolist(), "steps": {"register": "none"}}))
    found, straight = on_template(scan, 4, scan_to_template(file)), on_template(volume(affine), 4)
    np.testing.assert_allclose(found, straight, atol=0.05)
    for other in (
        {"template_to_scan": truth.tolist(), "steps": {"register": "affine"}},
        {"template_to_scan": None},
        {"lesions": []},
    ):
        record.write_text(json.dumps(other))
        assert scan_to_template(file) is None
