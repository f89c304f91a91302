"""Scans made ready: from DICOM, BIDS or files to a cohort."""
