"""Time of logits and class maps from one network as it is, compiled, scripted and as ONNX, over its plain forward pass.

python benchmarks/exports.py
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from cases import CASES, CLASSES, Case, make_input
from common import PLAIN, RESULTS, environment, write_json
from speed import figures, interleaved, one_line
from torch import Tensor

from hrcam_monai.networks import ExportableHRCAMNet, load_exported

EAGER, COMPILED, SCRIPTED, ONNX = "eager", "torch.compile", "TorchScript", "ONNX, onnxruntime"
Call = Callable[[Tensor], Any]


def torchscript(network: ExportableHRCAMNet, x: Tensor, folder: Path) -> Call:
    """Scripted where the backbone lists its levels, traced otherwise; written and read."""
    path = folder / "net.ts"
    (torch.jit.script(network) if network.listed else torch.jit.trace(network, x)).save(path)
    return load_exported(path)


def onnx(network: ExportableHRCAMNet, x: Tensor, folder: Path) -> Call:
    """Written by torch's exporter, run by onnxruntime on as many threads as torch."""
    path = folder / "net.onnx"
    torch.onnx.export(network, (x,), path, dynamo=True, verbose=False)
    return load_exported(path)


FORMS: dict[str, Callable[[ExportableHRCAMNet, Tensor, Path], Call]] = {
    EAGER: lambda network, _x, _folder: network,
    COMPILED: lambda network, _x, _folder: torch.compile(network),
    SCRIPTED: torchscript,
    ONNX: onnx,
}


def run_case(case: Case, rounds: int, seed: int = 0) -> dict[str, Any]:
    """Every form on one network and input: its time, and how far its outputs are from the eager ones."""
    x = make_input(case, torch.device("cpu"), seed=seed)
    backbone = case.backbone().eval()
    network = ExportableHRCAMNet(backbone, CLASSES, spatial_dims=case.spatial_dims, pooling="lse").eval()
    calls: dict[str, Call] = {PLAIN: backbone}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        expected = network(x)
        for name, make in FORMS.items():
            try:
                call = make(network, x, Path(folder))
                apart = max(float((a - b).abs().max()) for a, b in zip(call(x), expected, strict=True))
                call(x)  # a second call settles what the first has begun
                calls[name] = call
                rows.append({"form": name, "difference": apart})
            except Exception as error:  # a form that this machine cannot make is reported; the others go on
                rows.append({"form": name, "status": "failed", "reason": one_line(error)})
        backbone(x)
        times = interleaved(calls, x, rounds, case.name)
    rows = [{"form": PLAIN}, *rows]
    rows = [row if "status" in row else row | figures(times, row["form"]) for row in rows]
    return {"name": case.name, "title": case.title, "shape": list(case.shape), "forms": rows}


def main(
    case: Annotated[list[str] | None, typer.Option(help=f"Any of {', '.join(CASES)}; default: the 96^3 and smaller.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 7,
    threads: Annotated[int, typer.Option(help="Threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Of weights and input.")] = 0,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "exports_cpu.json",
) -> None:
    """Measure on the CPU, print a line a form, write the JSON."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    made: dict[str, Any] = {"benchmark": "exports", **environment(seed)}
    made["settings"] = {"rounds": rounds, "clock": "processor time" if threads == 1 else "wall time"}
    chosen = case or [name for name, c in CASES.items() if c.shape[-1] < 192]
    made["cases"] = [run_case(CASES[name], rounds, seed) for name in chosen]
    for found in made["cases"]:
        for row in found["forms"]:
            typer.echo(f"{found['name']}, {row['form']}: {row['ratio']['median'] if 'ratio' in row else row['reason']}")
    write_json(output, made)


if __name__ == "__main__":
    typer.run(main)
