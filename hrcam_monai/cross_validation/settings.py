"""What a cross-validation was made with: a second call goes on only with the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrcam_monai.data.failures import writable_folder
from hrcam_monai.utils.files import write_json
from hrcam_monai.utils.run_settings import RunSettings

__all__ = ["MAPS", "clear", "enter"]

COMMAND = "cross-validate"
OUTPUTS = ("maps", "overlays", "viewer", "configs")  # folders, beside those of the folds
MAPS = "set_of_maps"  # the settings that inference alone knows


def enter(output: Path, settings: Mapping[str, Any], restart: bool = False) -> None:
    """Make the folder, or see that what it holds was made with these settings; `restart` clears it.

    Where only the settings of `MAPS` differ, the maps are taken away, and the rest stays.

    Raises:
        ValueError: it was made with others, or holds something else.
        PermissionError: it cannot be written to.
    """
    writable_folder(output)
    run = RunSettings(output, {"command": COMMAND, **settings})
    ours = run.before.get("command") == COMMAND
    if not ours and any(not p.name.startswith(".") for p in output.iterdir()):
        raise ValueError(f"{output}: holds files of something else; choose another --output.")
    if ours and restart:
        clear(output)
    elif ours and run.changed == [MAPS]:
        _forget_maps(output)
    elif ours and run.changed:
        raise ValueError(
            f"{output}: was made with other settings or images ({', '.join(run.changed)}); give the same again, choose another "
            "--output, or start anew with --restart."
        )
    run.write()


def _forget_maps(output: Path) -> None:
    """Take away what inference has made, so that it is run again."""
    for fold in output.glob("fold_[0-9]*"):
        finished = fold / "finished.json"
        if finished.is_file():
            write_json([w for w in json.loads(finished.read_text()) if w != "inference"], finished)
        shutil.rmtree(fold / "inference", ignore_errors=True)
    for name in ("maps", "overlays", "viewer"):
        shutil.rmtree(output / name, ignore_errors=True)


def clear(output: Path) -> None:
    """Take away what an earlier call has made; nothing else in the folder is touched."""
    for folder in [*output.glob("fold_[0-9]*"), *(output / name for name in OUTPUTS)]:
        shutil.rmtree(folder, ignore_errors=True)
    names = ("predictions.csv", "per_subject.csv", "metrics.json", "cross_validation.md", "report.html", "failures.csv")
    for path in [*(output / name for name in names), *output.glob("baseline_*.csv")]:
        path.unlink(missing_ok=True)
