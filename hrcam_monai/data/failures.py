"""The list of subjects that could not be processed: kept in a file, told at the end, and in the exit code."""

from __future__ import annotations

import csv
import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hrcam_monai.data.manifest import Failure

logger = logging.getLogger(__name__)


def reason(error: object) -> str:
    """What went wrong at the bottom of it: the message of the first exception in a chain, on one line."""
    while isinstance(error, BaseException) and error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


class Failures:
    """Collects failures into `failures.csv` as they happen, so that nothing is lost if the run stops.

    Args:
        output_dir: folder of the file, made if needed.
        known: failures found before the run, as a manifest's.

    Raises:
        PermissionError: the folder cannot be written to.

    Example:
        >>> failures = Failures("/tmp/run")
        >>> failures.add("sub-01", "a.nii.gz", "is empty")
    """

    def __init__(self, output_dir: str | Path, known: Iterable[Failure] = ()) -> None:
        rank = os.environ.get("RANK", "0")  # under torchrun every process keeps a list of its own
        name = "failures.csv" if rank == "0" else f"failures_rank{rank}.csv"
        self.path = Path(writable_folder(output_dir)) / name
        self.path.unlink(missing_ok=True)
        self.found: list[Failure] = []
        for failure in known:
            self.add(failure.subject, failure.file, failure.error)

    def add(self, subject: str, file: str, error: object) -> None:
        """Note one failure."""
        failure = Failure(subject, file, reason(error))
        self.found.append(failure)
        logger.error("%s left out: %s", subject, failure.error)
        new = not self.path.exists()
        with self.path.open("a", newline="") as stream:
            writer = csv.writer(stream)
            if new:
                writer.writerow(["subject", "file", "error"])
            writer.writerow([failure.subject, failure.file, failure.error])

    def finish(self) -> None:
        """End of a run.

        Raises:
            SystemExit: with status 1 if anything failed.
        """
        if self.found:
            logger.error("%d subject(s) could not be processed; see %s", len(self.found), self.path)
            raise SystemExit(1)


def writable_folder(folder: str | Path) -> str:
    """Make a folder and see that it can be written to, before hours of work go by.

    Raises:
        PermissionError: it cannot.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise PermissionError(f"{path}: cannot be written to ({error.strerror}); choose another --output_dir.") from None
    return str(path)
