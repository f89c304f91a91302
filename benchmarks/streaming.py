"""Peak memory of inference over cohorts of different size: it must not grow with them.

python benchmarks/streaming.py --cohort work/bench
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from common import RESULTS, ROOT, environment, write_json

from hrcam_monai.data import find_items

BUNDLE = ROOT / "bundle"
MEASURE = "import resource, subprocess, sys; status = subprocess.run(sys.argv[1:]).returncode; "
MEASURE += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(status)"


def run(source: Path, output: Path) -> dict[str, float]:
    """Inference of a folder with the shipped weights, from files to the report: peak memory in MB and seconds."""
    line = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "monai.bundle",
        "run",
        "--config_file",
        str(BUNDLE / "configs" / "inference.json"),
    ]
    line += ["--bundle_root", str(BUNDLE), "--dataset_dir", str(source), "--output_dir", str(output), "--follow_links", "True"]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURE, *line], capture_output=True, text=True, check=True)
    peak = float(done.stdout.split()[-1]) / (1024 if sys.platform == "linux" else 1024**2)
    return {"peak_mb": round(peak, 1), "seconds": round(time.perf_counter() - start, 1)}


def main(
    cohort: Annotated[Path, typer.Option(help="Any cohort; its images are used again under other names.")],
    sizes: Annotated[list[int], typer.Option("--size", help="Subjects; may be repeated.")] = [20, 200],  # noqa: B006
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "streaming.json",
) -> None:
    """Measure, print, write."""
    images = [Path(item["image"]) for item in find_items(cohort)[0]]
    made: dict[str, Any] = {"benchmark": "streaming", **environment(0), "settings": {"clock": "wall time"}, "runs": []}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "scans"
            source.mkdir()
            for i, image in enumerate(islice(cycle(images), size)):
                (source / f"scan{i:04d}.nii.gz").symlink_to(image)
            made["runs"].append({"subjects": size, **run(source, Path(folder) / "out")})
        typer.echo(f"{size} subjects: {made['runs'][-1]['peak_mb']} MB")
    write_json(output, made)


if __name__ == "__main__":
    typer.run(main)
