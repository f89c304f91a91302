from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.data.nifti import check_nifti
from hrcam_monai.data.reading import read_scan
from hrcam_monai.data.scan_error import ScanError

VALUES = np.random.default_rng(0).normal(100, 10, (8, 9, 7)).astype(np.float32)
RGB = np.zeros((8, 9, 7), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def save(path, values=VALUES, size=2.0, unit="mm", **header):
    image = nib.Nifti1Image(values, np.diag([size, size, size, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    changed = nib.Nifti1Header(bytes(content[:348]), check=False)
    for key, value in header.items():
        changed[key] = value
    content[:348] = changed.binaryblock
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"unit": "meter", "size": 0.002}, "gives lengths in metres (voxels of 0.002 x 0.002 x 0.002)"),
        ({"unit": "micron", "size": 2000}, "gives lengths in micrometres (voxels of 2e+03 x 2e+03 x 2e+03)"),
        ({"size": 0.03}, "its voxels are 0.03 x 0.03 x 0.03 mm, which no patient's scan has; correct the sizes in its header."),
        ({"size": 300}, "its voxels are 300 x 300 x 300 mm, which no patient's scan has"),
        ({"values": (VALUES + 1j).astype(np.complex64)}, "holds complex values; save their magnitude."),
        ({"values": RGB}, "holds colours (RGB), not one value a voxel; save it in grey."),
        ({"values": VALUES.astype(np.int16), "scl_slope": 1, "scl_inter": np.nan}, "cannot be read as an image"),
        ({"datatype": 7777}, "cannot be read as an image (data code 7777 not recognized)"),
    ],
)
def test_what_cannot_be_taken_at_its_word_is_named(tmp_path, options, told):
    file = save(tmp_path / "scan.nii", **options)
    for read in (check_nifti, read_scan):
        with pytest.raises(ScanError) as raised:
            read(file)
        assert str(raised.value).startswith(f"{file}: {told}")


@pytest.mark.parametrize("unit", ["mm", "unknown"])
def test_millimetres_and_no_unit_are_read(tmp_path, unit):
    scan = read_scan(save(tmp_path / "scan.nii", unit=unit))
    np.testing.assert_allclose(np.diag(scan.affine)[:3], 2)


def test_scaled_values_are_read_as_they_are_meant(tmp_path):
    file = save(tmp_path / "scan.nii", VALUES.astype(np.int16), scl_slope=0.5, scl_inter=-3)
    np.testing.assert_allclose(read_scan(file)[0], VALUES.astype(np.int16) * 0.5 - 3)
