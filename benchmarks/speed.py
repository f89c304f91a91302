"""Time and peak memory of class maps over a plain forward pass: HR-CAM, MONAI's CAM methods, TorchCAM's LayerCAM.

Methods run in turn in one process (A B C, A B C, ...), and each round gives the ratio of a method to the plain forward
of the same round; the median of the rounds is quoted, with the lowest and highest. On a CPU with one thread the clock
is processor time, so that other jobs on the machine do not count; else it is wall time.

    python benchmarks/speed.py
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from cases import CASES, CLASSES, METHODS, Case, Mode, Setup, Skipped, make_input, ready
from common import OURS, PLAIN, RESULTS, environment, write_json
from peak_memory import MB, cuda_peak_mb, forget_gradients, fresh_peak_mb
from torch import Tensor
from tqdm import tqdm

HEAVY = 2.0  # a method that takes more plain forwards than this needs less precision: it runs in every third round


def clock(device: torch.device) -> float:
    """Seconds, once all work given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(call: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """How long one call takes."""
    start = clock(x.device)
    call(x)
    return clock(x.device) - start


def one_line(error: BaseException) -> str:
    """An error's kind and message, cut to a line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:160]


def start(
    setup: Setup, methods: list[str], mode: Mode
) -> tuple[dict[str, Callable[[Tensor], Tensor]], dict[str, dict[str, Any]]]:
    """Methods that get through a first call, and for each of the others why it does not."""
    calls, faults = {}, {}
    for method in methods:
        try:
            call = ready(method, setup, mode)
            for _ in range(2):  # the second call settles caches
                call(setup.x)
            calls[method] = call
        except Skipped as reason:
            faults[method] = {"status": "skipped", "reason": str(reason)}
        except Exception as error:  # whatever a peer throws, the others go on
            faults[method] = {"status": "failed", "reason": one_line(error)}
    return calls, faults


def interleaved(calls: dict[str, Callable[[Tensor], Tensor]], x: Tensor, rounds: int, label: str) -> dict[str, list[float]]:
    """Seconds of each method in each round, NaN where it sat out."""
    times: dict[str, list[float]] = {method: [] for method in calls}
    for turn in tqdm(range(rounds), desc=label, unit="round"):
        for method, call in calls.items():
            heavy = turn > 0 and times[method][0] > HEAVY * times[PLAIN][0]
            times[method].append(float("nan") if heavy and turn % 3 else seconds(call, x))
    return times


def ratios(times: dict[str, list[float]], method: str) -> list[float]:
    """A method's time over the plain forward's, round by round."""
    return [a / b for a, b in zip(times[method], times[PLAIN], strict=True) if a == a]


def figures(times: dict[str, list[float]], method: str) -> dict[str, Any]:
    """Median and range of a method's rounds."""
    over = ratios(times, method)
    return {
        "status": "ok",
        "seconds": round(statistics.median(t for t in times[method] if t == t), 4),
        "ratio": {"median": round(statistics.median(over), 3), "min": round(min(over), 3), "max": round(max(over), 3)},
        "rounds": len(over),
    }


def run_mode(setup: Setup, methods: list[str], mode: Mode, rounds: int) -> list[dict[str, Any]]:
    """A row for each method; one that does not get through the whole batch has a second row, at batch 1."""
    batch = setup.x.shape[0]
    label = f"{setup.case.name}, batch {batch}, {mode.precision}{', compiled' if mode.compiled else ''}"
    calls, faults = start(setup, methods, mode)
    times = interleaved(calls, setup.x, rounds, label)
    rows = []
    for method in methods:
        row = {"method": method, "batch": batch, "precision": mode.precision, "compiled": mode.compiled}
        rows.append(row | (faults[method] if method in faults else figures(times, method)))
        if method in calls and setup.x.is_cuda:
            forget_gradients(*setup.copies)
            rows[-1]["peak_mb"] = round(cuda_peak_mb(partial(calls[method], setup.x), setup.x.device), 1)
    if faults and batch > 1:
        small = Setup(setup.case, setup.x[:1], setup.seed, setup.budget)
        rows += run_mode(small, [PLAIN, *faults], mode, rounds)
    return rows


def add_cpu_memory(rows: list[dict[str, Any]], case: Case, seed: int, budget: float) -> None:
    """Peak memory of the rows that ran, each in a process of its own."""
    for row in tqdm([r for r in rows if r["status"] == "ok" and not r["compiled"]], desc=f"{case.name}, memory"):
        try:
            peak = fresh_peak_mb(case, row["method"], row["batch"], seed, torch.get_num_threads(), budget)
            row["peak_mb"] = round(peak, 1)
        except MemoryError as error:
            row["memory_reason"] = one_line(error)


def over_plain(rows: list[dict[str, Any]]) -> None:
    """Peak memory over the plain forward's of the same batch and mode."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["batch"], row["precision"], row["compiled"]

    plain = {key(r): r["peak_mb"] for r in rows if r["method"] == PLAIN and "peak_mb" in r}
    for row in rows:
        if "peak_mb" in row and plain.get(key(row), 0) > 0:
            row["peak_ratio"] = round(row["peak_mb"] / plain[key(row)], 3)


def run_case(
    case: Case, device: torch.device, modes: list[Mode], rounds: int = 9, seed: int = 0, budget: float = 8.0, memory: bool = True
) -> dict[str, Any]:
    """All methods on one network and input, in all modes."""
    setup = Setup(case, make_input(case, device, seed=seed), seed, budget)
    rows: list[dict[str, Any]] = []
    for mode in modes:
        # what is compiled is the network with its head; the other tools' hooks are not made for it
        rows += run_mode(setup, [PLAIN, *OURS] if mode.compiled else list(METHODS), mode, rounds)
    if memory and device.type == "cpu":
        add_cpu_memory(rows, case, seed, budget)
    over_plain(rows)
    return {
        "name": case.name,
        "title": case.title,
        "shape": list(case.shape),
        "spatial_dims": case.spatial_dims,
        "classes": CLASSES,
        "levels": setup.levels(),
        "channels": setup.net.head.in_channels,
        "image_mb": round(prod(case.shape[2:]) * 4 / MB, 3),  # one float32 map of one image
        "methods": rows,
    }


def main(
    case: Annotated[list[str] | None, typer.Option(help=f"Any of {', '.join(CASES)}; default: all.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds; methods above two plain forwards run in every third.")] = 9,
    threads: Annotated[int, typer.Option(help="Threads of torch on the CPU.")] = 1,
    budget: Annotated[float, typer.Option(help="GB that naive HR-CAM may take; it is skipped above.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Of weights and input.")] = 0,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile too; on a GPU always.")] = False,
    memory: Annotated[bool, typer.Option(help="Measure peak memory too.")] = True,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default the GPU where there is one.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON; default benchmarks/results/speed_DEVICE.json.")] = None,
) -> None:
    """Measure, print a line a method, write the JSON."""
    warnings.filterwarnings("ignore")  # the other tools' remarks on hooks and deprecations
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    gpu = place.type == "cuda"
    modes = [
        Mode(p, c) for p in (("fp32", "bf16") if gpu else ("fp32",)) for c in ((False, True) if gpu or compiled else (False,))
    ]
    made: dict[str, Any] = {"benchmark": "speed", "device": place.type, **environment(seed)}
    made["settings"] = {
        "rounds": rounds,
        "budget_gb": budget,
        "clock": "processor time" if not gpu and threads == 1 else "wall time",
    }
    made["cases"] = []
    for name in case or CASES:
        made["cases"].append(run_case(CASES[name], place, modes, rounds, seed, budget, memory))
        for row in made["cases"][-1]["methods"]:
            ratio = row["ratio"]["median"] if "ratio" in row else row["reason"]
            typer.echo(f"{name}, batch {row['batch']}, {row['precision']}, {row['method']}: {ratio}")
    write_json(output or RESULTS / f"speed_{place.type}.json", made)


if __name__ == "__main__":
    typer.run(main)
