"""One fold: train, then score and map the held-out subjects with the bundle's workflows, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hrcam_monai.cross_validation.collect import check_tables
from hrcam_monai.cross_validation.configs import RUN
from hrcam_monai.utils.files import write_json
from hrcam_monai.workflows.command_line import LIFELINE

__all__ = ["FoldRun"]

# where each workflow writes, below the fold's folder, and the file that it writes last
FOLDERS = {"train": "", "inference": "inference"}
LAST = {"train": "model.pt", "inference": "report.html"}


@dataclass(frozen=True)
class FoldRun:
    """Runs the workflows of one fold that have not been run yet.

    Attributes:
        folder: of the fold, with its manifest.json.
        bundle_root: folder of the bundle.
        files: configs of each workflow.
        seed: of training.
    """

    folder: Path
    bundle_root: Path
    files: Mapping[str, Sequence[Path]]
    seed: int

    @property
    def finished(self) -> list[str]:
        """The workflows that have been run to their end."""
        path = self.folder / "finished.json"
        try:
            return list(json.loads(path.read_text())) if path.is_file() else []
        except ValueError as error:
            raise ValueError(f"{path}: cannot be read ({error}); remove {self.folder}, and call again.") from None

    def command(self, workflow: str) -> list[str]:
        """The command line of one workflow; it can be run by hand as well."""
        options = {
            "config_file": [str(f) for f in self.files[workflow]],
            "bundle_root": self.bundle_root,
            "dataset_dir": self.folder,
            "output_dir": self.folder / FOLDERS[workflow],
        }
        if workflow == "train":
            options |= {"seed": self.seed, "resume": True}
        else:
            options |= {"split": "test", "checkpoint": self.folder / "model.pt"}
        line = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run"]
        return line + [word for key, value in options.items() for word in (f"--{key}", str(value))]

    def run(self, gpu: str | None = None, tell: Callable[[str], None] = lambda text: None) -> None:
        """Run what is left of the fold; `log.txt` holds all that its processes say.

        Args:
            gpu: the one that is shown to them; None leaves the choice to them.
            tell: called with the name of each workflow as it starts.

        Raises:
            RuntimeError: a workflow ended before its last file; the message names the log.
            ValueError, OSError: what the fold holds cannot be read.
        """
        finished = self.finished
        for workflow in RUN:
            if workflow not in finished:
                tell(workflow)
                self._one(workflow, gpu)
                finished.append(workflow)
                write_json(finished, self.folder / "finished.json")
        check_tables(self.folder)

    def _one(self, workflow: str, gpu: str | None) -> None:
        out = self.folder / FOLDERS[workflow]
        (out / LAST[workflow]).unlink(missing_ok=True)
        chosen = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        log = self.folder / "log.txt"
        with log.open("a") as stream:
            start = stream.tell()
            # the pipe is open as long as this process lives, however it ends: then the other ends, too
            with subprocess.Popen(
                self.command(workflow),
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=os.environ | chosen | {LIFELINE: "stdin"},
            ) as process:
                code = process.wait()
        # status 1 with the last file there: some subjects failed, and failures.csv names them
        noted = code == 1 and (out / LAST[workflow]).is_file() and (out / "failures.csv").is_file()
        if code and not noted:
            raise RuntimeError(f"{self.folder.name}: {workflow} ended with status {code}{_last_error(log, start)}; see {log}.")


def _last_error(log: Path, start: int = 0) -> str:
    """What a workflow said is wrong, if it did."""
    with log.open(errors="replace") as stream:
        stream.seek(start)
        said = [line.removeprefix("error: ").strip() for line in stream if line.startswith("error: ")]
    return f" ({said[-1].rstrip('.')})" if said else ""
