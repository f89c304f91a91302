"""The error of a scan that cannot be used."""

__all__ = ["ScanError"]


class ScanError(ValueError):
    """A scan that cannot be used: the message names the file, the fault and the remedy."""
