"""How long a fold's held-out subjects take, scored and mapped in one pass, and in two as they were before: wall time, readings.

    python benchmarks/held_out.py --subjects 24 --work /tmp/held_out

A small simulated cohort is cross-validated; then the held-out subjects of its first fold are read again: by the fold's own
command (inference with `held_out.json`), and by evaluation followed by inference, which is what a fold did before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from common import RESULTS, ROOT, environment, table, write_json

from hrcam_monai.cross_validation.run import cross_validate
from hrcam_monai.phantoms.simulate import simulate_cohort

CONFIGS = ROOT / "bundle" / "configs"
QUICK = ("base_epochs=1", "epochs=1", "val_interval=1", "num_workers=0")
COUNTED = """
import sys, runpy
from hrcam_monai.networks import HRCAMNet
count, maps_of = [0], HRCAMNet.native_maps
def counted(self, x):
    count[0] += len(x)
    return maps_of(self, x)
HRCAMNet.native_maps = counted
try:
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
finally:
    print("READ", count[0])
"""


def read_once(configs: list[Path], fold: Path, output: Path, root: str, key: str) -> tuple[float, int]:
    """Run one workflow over the held-out subjects: seconds, and slices that passed through the network."""
    options = {"bundle_root": ROOT / "bundle", "dataset_dir": fold, "output_dir": output, "checkpoint": fold / "model.pt"}
    options |= {"split": "test", f"{key}::root": root, "num_workers": 0}
    line = [sys.executable, "-W", "ignore", "-c", COUNTED, "run", "--config_file", str([str(c) for c in configs])]
    line += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    begun = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - begun, int(done.stdout.rsplit("READ ", 1)[1])


def main(
    work: Annotated[Path, typer.Option(help="Folder for cohort, folds and results.")], subjects: int = 24, repeats: int = 3
) -> None:
    """Time the held-out subjects of one fold both ways."""
    cohort, output = work / "cohort", work / "folds"
    simulate_cohort(cohort, subjects, 1)
    cross_validate(cohort, output, folds=2, settings=QUICK, bundle_root=ROOT / "bundle", baselines=False)
    fold = output / "fold_0"
    overlay = output / "configs" / "inference.json"
    root = json.loads(overlay.read_text())["found::root"]
    held_out = len(json.loads((fold / "manifest.json").read_text())["test"])
    ways = {
        "evaluated, then mapped (before)": [
            ([CONFIGS / "evaluate.json"], "manifest"),
            ([CONFIGS / "inference.json"], "found"),
        ],
        "one pass (now)": [([CONFIGS / "inference.json", CONFIGS / "held_out.json", overlay], "found")],
    }
    found = {}
    for name, steps in ways.items():
        seconds, slices = [], 0
        for repeat in range(repeats):
            runs = [
                read_once(configs, fold, work / f"{repeat}_{len(steps)}_{i}", root, key) for i, (configs, key) in enumerate(steps)
            ]
            seconds.append(sum(s for s, _ in runs))
            slices = sum(n for _, n in runs)
        found[name] = {"seconds": seconds, "median_seconds": sorted(seconds)[len(seconds) // 2], "slices": slices / held_out}
    write_json(RESULTS / "held_out.json", environment(1) | {"subjects": held_out, "ways": found})
    rows = [[name, f"{way['slices']:.0f}", f"{way['median_seconds']:.1f}"] for name, way in found.items()]
    print(table(["held-out subjects are", "slices read a subject", f"seconds for {held_out} subjects"], rows))


if __name__ == "__main__":
    typer.run(main)
