"""Cohorts: manifests, reading, simulation."""

from hrcam_monai.data.cohort import CachedCohort, CohortDataset
from hrcam_monai.data.failures import Failures, writable_folder
from hrcam_monai.data.manifest import Failure, Manifest, ManifestError, load_manifest
from hrcam_monai.data.reading import ScanError, read_scan
from hrcam_monai.data.simulate import simulate_cohort, simulate_subject
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
    "simulate_cohort",
    "simulate_subject",
    "writable_folder",
]
