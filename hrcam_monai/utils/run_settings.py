"""What the results in a folder were made with: a second run goes on only with the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrcam_monai.utils.files import write_json
from hrcam_monai.utils.fingerprint import fingerprint

__all__ = ["RunSettings"]


class RunSettings:
    """The settings of a run, beside those that an earlier one has left in its folder.

    Args:
        folder: of the results; it need not be there yet.
        settings: all that the results depend on, by name. A file counts by its content, an object by its plain attributes.
        name: of the file that keeps them.

    Raises:
        ValueError: what an earlier run has left is torn.

    Attributes:
        before: settings of an earlier run; empty where there was none.
        now: settings of this one, as JSON holds them.

    Example:
        >>> settings = RunSettings("/tmp/a_run_that_is_new", {"seed": 0})
        >>> settings.before, settings.changed
        ({}, ['seed'])
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any], name: str = "settings.json") -> None:
        self.path = Path(folder) / name
        self.now: dict[str, Any] = {key: fingerprint(value) for key, value in settings.items()}
        self.before = self._before()

    def _before(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {}
        try:
            return dict(json.loads(self.path.read_text()))
        except (ValueError, TypeError):
            raise ValueError(f"{self.path}: no whole settings of an earlier run; choose another folder, or remove it.") from None

    @property
    def changed(self) -> list[str]:
        """Names of the settings that differ, or that one of both runs lacks."""
        return sorted(k for k in self.before.keys() | self.now.keys() if self.before.get(k) != self.now.get(k))

    def write(self) -> None:
        """Keep this run's settings in place of the earlier one's.

        Raises:
            OutputError: they cannot be written.
        """
        write_json(self.now, self.path)
