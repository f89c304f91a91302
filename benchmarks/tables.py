"""Write docs/benchmarks.md from the JSON files of benchmarks/results. Every number in it comes from those files.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from common import OURS, PLAIN, RESULTS, ROOT, table

PAGE = ROOT / "docs" / "benchmarks.md"
TIME_TARGET = {2: 1.05, 3: 1.10}  # all class maps over the plain forward, by spatial dimensions
MEMORY_TARGET = 1.1  # peak over the plain forward's, beside the maps themselves

INTRODUCTION = """# Speed and memory

What class maps cost, measured over the network's own forward pass without gradient. Ratios are taken inside one process,
methods in turn, so they carry over between machines better than seconds do. This page is made by
`python benchmarks/tables.py` from the files in `benchmarks/results`; `make bench` measures anew and rewrites it.
"""

SPEED_NOTES = """- **time**: a method's time over the plain forward's of the same round; median of the rounds [lowest, highest].
- **peak**: memory a call adds at its highest point to weights and input, in MB, and over the plain forward's. On a CPU
  each method has a process of its own and resident memory is counted; on a GPU the allocator's count.
- HR-CAM gives the maps of all classes in one call; the other tools give one class. All end at the input's size. MONAI CAM
  is called under `no_grad`, which spares it a graph. Naive HR-CAM up-samples every channel and then weighs, as the paper
  writes it. TorchCAM's LayerCAM looks at the same levels as HR-CAM.
- A method that cannot take the whole batch is timed at batch 1, over the plain forward at batch 1. Weights are random: they
  change no cost.
"""


def settings(result: dict[str, Any]) -> str:
    """Machine, versions, seed and commit on two lines."""
    machine, found = result["machine"], result["versions"]
    place = f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} thread(s)"
    place += f"; {machine['gpu']}" if machine["gpu"] else "; no GPU"
    names = ", ".join(f"{name} {number}" for name, number in found.items())
    return f"{place}; clock: {result['settings']['clock']}.\n{names}; seed {result['seed']}; commit {result['commit']}.\n"


def between(values: dict[str, float], digits: int = 2) -> str:
    """Median and range."""
    return f"{values['median']:.{digits}f} [{values['min']:.{digits}f}, {values['max']:.{digits}f}]"


def speed_row(row: dict[str, Any]) -> list[str]:
    """A method's line."""
    if row["status"] != "ok":
        return [row["method"], str(row["batch"]), f"{row['status']}: {row['reason']}", "", ""]
    memory = [f"{row['peak_mb']:.0f}", f"{row['peak_ratio']:.2f}"] if "peak_ratio" in row else ["", ""]
    return [row["method"], str(row["batch"]), between(row["ratio"]), *memory]


def verdict(value: float, target: float) -> str:
    """Whether a figure keeps to its target."""
    return "met" if value <= target else "missed"


def targets(case: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """A line for each of HR-CAM's poolings: time and memory against the targets."""
    plain = next(r for r in rows if r["method"] == PLAIN)
    text = ""
    for row in rows:
        if row["method"] not in OURS or row["status"] != "ok" or row["batch"] != plain["batch"]:
            continue
        goal, ratio = TIME_TARGET[case["spatial_dims"]], row["ratio"]["median"]
        text += f"- {row['method']}: time {ratio:.2f}, target at most {goal:.2f}: **{verdict(ratio, goal)}**"
        if "peak_mb" in row and "peak_mb" in plain:
            allowed = MEMORY_TARGET * plain["peak_mb"] + case["image_mb"] * case["classes"] * row["batch"]
            peak = row["peak_mb"]
            text += f"; peak {peak:.0f} MB, target at most {allowed:.0f} MB: **{verdict(peak, allowed)}**"
        text += ".\n"
    return text


def speed_section(result: dict[str, Any]) -> str:
    """Tables of `speed.py`, one for each network and mode."""
    text = SPEED_NOTES
    for case in result["cases"]:
        for precision, compiled in dict.fromkeys((r["precision"], r["compiled"]) for r in case["methods"]):
            rows = [r for r in case["methods"] if (r["precision"], r["compiled"]) == (precision, compiled)]
            shape = "x".join(str(n) for n in case["shape"])
            text += f"\n### {case['title']}, input {shape}, {precision}{', torch.compile' if compiled else ''}\n\n"
            text += f"{case['classes']} classes; levels of {', '.join(map(str, case['channels']))} channels.\n\n"
            text += table(["method", "batch", "time", "peak MB", "peak ratio"], [speed_row(r) for r in rows])
            text += "\n" + targets(case, rows)
    return text


def throughput_section(result: dict[str, Any]) -> str:
    """Tables of `throughput.py`."""
    train, infer = result["training"], result["inference"]
    shape = "x".join(str(n) for n in train["image_shape"])
    workers = train["num_workers"]
    text = f"""Training: the step of `train.json` with its loader (cached subjects, augmentation, {workers} workers)
and on one fixed batch of {train["images_a_step"]} images of {shape}, {train["rounds"]} rounds of {train["steps_a_round"]} steps.

"""
    rows = [
        ["images a second, with the loader", between(train["images_per_second_with_loader"], 1)],
        ["images a second, fixed batch", between(train["images_per_second_bare"], 1)],
        ["with / without", between(train["ratio"])],
    ]
    text += table(["", "median [lowest, highest]"], rows)
    text += f"""
Inference: `inference.json` on {infer["subjects"]} subjects, from file to written maps with
{infer["num_workers"]} loader worker(s), and its network alone on subjects already in memory, {infer["rounds"]} rounds.

"""
    rows = [
        ["seconds a subject, whole chain", between(infer["seconds_per_subject"], 3)],
        ["seconds a subject, network alone", between(infer["seconds_per_subject_network"], 3)],
        ["whole / network", between(infer["ratio"])],
    ]
    text += table(["", "median [lowest, highest]"], rows)
    parts = infer["parts_seconds_per_subject"]
    total = sum(part["median"] for part in parts.values())
    text += "\nWhere the time goes, one part after the other in one process:\n\n"
    lines = [[name, between(part, 3), f"{100 * part['median'] / total:.0f} %"] for name, part in parts.items()]
    return text + table(["part", "seconds a subject", "share"], lines)


def exports_section(result: dict[str, Any]) -> str:
    """Tables of `exports.py`, one for each network."""
    text = """Logits and class maps of all classes in one graph ([exports](exports.md)), over the plain forward pass of the
backbone; median and range over rounds taken in turn. The last column is the largest difference from the eager outputs.
"""
    for case in result["cases"]:
        text += f"\n### {case['title']}, input {'x'.join(str(n) for n in case['shape'])}\n\n"
        rows = []
        for row in case["forms"]:
            cells = [f"{row['seconds']:.3f}", between(row["ratio"])] if "ratio" in row else [f"failed: {row['reason']}", ""]
            rows.append([row["form"], *cells, f"{row['difference']:.0e}" if "difference" in row else ""])
        text += table(["form", "seconds", "time", "difference"], rows)
    return text


def streaming_section(result: dict[str, Any]) -> str:
    """Table of `streaming.py`."""
    text = "Inference with the shipped weights, from files to maps and report, in one process.\n\n"
    rows = [[str(r["subjects"]), f"{r['peak_mb']:.0f}", f"{r['seconds'] / r['subjects']:.2f}"] for r in result["runs"]]
    return text + table(["subjects", "peak memory, MB", "seconds a subject"], rows)


SECTIONS: tuple[tuple[str, str, str, Callable[[dict[str, Any]], str]], ...] = (
    ("speed_cpu", "Cost of class maps, CPU", "python benchmarks/speed.py", speed_section),
    ("exports_cpu", "Exported models, CPU", "python benchmarks/exports.py", exports_section),
    ("streaming", "Memory over cohorts", "python benchmarks/streaming.py --cohort work/bench", streaming_section),
    ("speed_cuda", "Cost of class maps, GPU", "python benchmarks/speed.py --device cuda", speed_section),
    (
        "throughput_cpu",
        "Training and inference of the bundle, CPU",
        "python benchmarks/throughput.py --cohort work/bench",
        throughput_section,
    ),
    (
        "throughput_cuda",
        "Training and inference of the bundle, GPU",
        "python benchmarks/throughput.py --cohort work/bench",
        throughput_section,
    ),
)


def page(results: Path = RESULTS) -> str:
    """The whole document; a section without its file gives way to a line that says how to make it."""
    text, missing = INTRODUCTION, []
    for name, title, command, render in SECTIONS:
        path = results / f"{name}.json"
        if not path.is_file():
            missing.append(f"- {title}: `{command}`{' on a machine with a GPU' if name.endswith('cuda') else ''}")
            continue
        result = json.loads(path.read_text())
        text += f"\n## {title}\n\n    {command}\n\n{settings(result)}\n{render(result)}"
    if missing:
        text += "\n## Not measured yet\n\n" + "\n".join(missing) + "\n"
    return text


def main(output: Annotated[Path, typer.Option(help="Markdown file.")] = PAGE) -> None:
    """Rewrite the page."""
    output.write_text(page())
    typer.echo(f"page: {output}")


if __name__ == "__main__":
    typer.run(main)
