"""One process at a time in a folder of results: two would write the same rows and files twice."""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

__all__ = ["free_folder", "lock_folder"]

logger = logging.getLogger(__name__)
NAME = ".lock"


def lock_folder(folder: str | Path) -> BaseFileLock | None:
    """Hold a folder for this process until `free_folder`, or until the process ends, however it ends.

    The operating system keeps the lock (flock), so that of a process that was killed holds no one up. A process may lock the same
    folder again, and frees it as often.

    Args:
        folder: that is there and can be written to.

    Returns:
        the lock; None where the file system has none.

    Raises:
        ValueError: another process holds it.

    Example:
        >>> lock = lock_folder("/tmp")
        >>> free_folder(lock)
    """
    lock = FileLock(Path(folder).absolute() / NAME, blocking=False, thread_local=False, is_singleton=True, fallback_to_soft=False)
    try:
        lock.acquire()
        while not Path(lock.lock_file).exists():  # one that ended just now has taken the file away
            lock.release()
            lock.acquire()
    except Timeout:
        raise ValueError(f"{folder}: another process is at work in it; wait until it ends, or choose another folder.") from None
    except (OSError, NotImplementedError) as error:  # some network file systems
        logger.warning("%s: cannot be locked (%s); start one process at a time in it", folder, error)
        return None
    return lock


def free_folder(lock: BaseFileLock | None) -> None:
    """Give back what `lock_folder` gave; the last time the file of the lock goes, too."""
    if lock is not None:
        if lock.lock_counter == 1:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
