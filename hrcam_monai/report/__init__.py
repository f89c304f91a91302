"""Pictures and pages."""

from hrcam_monai.report.page import write_report

__all__ = ["write_report"]
