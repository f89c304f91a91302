"""Cohorts: manifests, and reading with clear errors."""

from hrcam_monai.data.cohort import CachedCohort, CohortDataset
from hrcam_monai.data.failures import Failures, writable_folder
from hrcam_monai.data.manifest import Failure, Manifest, ManifestError, load_manifest
from hrcam_monai.data.reading import ScanError, read_scan
from hrcam_monai.data.sources import find_items

__all__ = [
    "CachedCohort",
    "CohortDataset",
    "Failure",
    "Failures",
    "Manifest",
    "ManifestError",
    "ScanError",
    "find_items",
    "load_manifest",
    "read_scan",
    "writable_folder",
]
