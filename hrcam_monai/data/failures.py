"""The list of subjects that could not be processed: kept in a file, told at the end, and in the exit code."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from hrcam_monai.data.manifest import Failure
from hrcam_monai.utils.csv_files import append_csv, write_csv
from hrcam_monai.utils.distributed import gather, is_main_process, process_rank, stop
from hrcam_monai.utils.files import OutputError
from hrcam_monai.utils.folder_lock import free_folder, lock_folder

__all__ = ["Failures", "bottom", "reason", "writable_folder"]

logger = logging.getLogger(__name__)


def bottom(error: BaseException) -> BaseException:
    """The first exception in a chain, that the others were raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def reason(error: object) -> str:
    """What went wrong at the bottom of it: the message of the first exception in a chain, on one line."""
    error = bottom(error) if isinstance(error, BaseException) else error
    return " ".join(str(error).split()) or type(error).__name__


class Failures:
    """Collects failures into `failures.csv` as they happen, so that nothing is lost if the run stops.

    Under torchrun each process writes a file of its own; `finish` brings them together.

    Args:
        output_dir: folder of the file, made if needed.
        known: failures found before the run, as a manifest's.

    Raises:
        PermissionError: the folder cannot be written to.
        ValueError: another process is at work in it; see `lock_folder`.

    Example:
        >>> failures = Failures("/tmp/run")
        >>> failures.add("sub-01", "a.nii.gz", "is empty")
    """

    def __init__(self, output_dir: str | Path, *, known: Iterable[Failure] = ()) -> None:
        rank = process_rank()
        folder = Path(writable_folder(output_dir))
        self.lock = lock_folder(folder) if rank == 0 else None  # whatever writes a cohort's results keeps its failures
        self.path = folder / ("failures.csv" if rank == 0 else f"failures_rank{rank}.csv")
        self.path.unlink(missing_ok=True)
        self.found: list[Failure] = []
        for failure in known if rank == 0 else ():  # all processes know them; one tells
            self.add(failure.subject, failure.file, failure.error)

    def add(self, subject: str, file: str, error: object) -> None:
        """Note one failure."""
        failure = Failure(subject, file, reason(error))
        self.found.append(failure)
        logger.error("%s left out: %s", subject, failure.error)
        append_csv(self.path, [asdict(failure)])

    @contextmanager
    def noting(self, subjects: Iterable[str], files: Iterable[str]) -> Iterator[None]:
        """What goes wrong meanwhile costs these subjects alone. An output that cannot be written ends the run: none is to blame.

        Example:
            >>> failures = Failures("/tmp/run")
            >>> with failures.noting(["sub-01"], ["a.nii.gz"]):
            ...     raise ValueError("is empty")
            >>> failures.found
            [Failure(subject='sub-01', file='a.nii.gz', error='is empty')]
        """
        try:
            yield
        except OutputError:
            raise
        except Exception as error:  # whatever a network or transform throws, the other subjects go on
            for subject, file in zip(subjects, files, strict=True):
                self.add(subject, file, error)
            logger.debug("traceback", exc_info=error)

    def gather(self) -> None:
        """One list of all processes; they part here, so that none waits for what the main one still has to write."""
        self.found = list(dict.fromkeys(gather(self.found)))  # in training every process reads the whole cohort
        if is_main_process():
            for part in self.path.parent.glob("failures_rank*.csv"):
                part.unlink()
            if self.found:
                write_csv(self.path, [asdict(failure) for failure in self.found])
        stop()

    def free(self) -> None:
        """Let others use the folder; a config that was read and not run calls this alone."""
        free_folder(self.lock)

    def finish(self) -> None:
        """End of a run; the folder is free for others.

        Raises:
            SystemExit: with status 1 if anything failed, from the main process: torchrun ends all at the first error.
        """
        self.gather()
        self.free()
        if self.found and is_main_process():
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
