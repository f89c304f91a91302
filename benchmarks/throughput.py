"""How near training and inference come to the speed of the network alone, and where the rest of the time goes.

Training: images a second of the training step of train.json fed by its loader, over the same step on one fixed batch.
Inference: seconds a subject of inference.json's evaluator from file to written map, over those of the network alone;
and each part timed by itself, in one process. All on the wall clock.

    python benchmarks/throughput.py --cohort work/bench
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from common import RESULTS, ROOT, environment, write_json
from monai.bundle import ConfigParser
from monai.data import DataLoader
from tqdm import tqdm

from hrcam_monai.transforms import LoadScand
from hrcam_monai.transforms.saving import SaveBehindd
from hrcam_monai.weights import load_weights

BUNDLE = ROOT / "bundle"
PARTS = ("read", "preprocess", "network", "postprocess", "write")


def workflow(name: str, cohort: Path, output: Path, overrides: dict[str, Any]) -> ConfigParser:
    """A config of the bundle on a cohort, as `python -m monai.bundle run` would have it."""
    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / f"{name}.json")
    given = {"bundle_root": str(BUNDLE), "dataset_dir": str(cohort), "output_dir": str(output), **overrides}
    for key, value in given.items():
        parser[key] = value
    parser.parse(True)
    return parser


def now(device: torch.device) -> float:
    """Wall time in seconds, once all work given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Median and range."""
    made = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {key: round(value, digits) for key, value in made.items()}


def training_step(parser: ConfigParser) -> Callable[[dict[str, Any]], int]:
    """The joint step of train.json as a function of a batch; it returns the number of images."""
    net, inferer, loss = (parser.get_parsed_content(key) for key in ("network", "train::inferer", "train::loss"))
    optimizer, device, amp = (parser.get_parsed_content(key) for key in ("train::optimizer", "device", "amp"))
    scaler = torch.amp.GradScaler(device.type, enabled=amp)
    net.train()

    def step(batch: dict[str, Any]) -> int:
        images = batch["image"].to(device, non_blocking=True)
        labels = torch.as_tensor(batch["label"]).to(device, non_blocking=True)
        optimizer.zero_grad()
        with torch.autocast(device.type, enabled=amp):
            value = loss(inferer(images, net), labels)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        return len(images)

    return step


def rate(step: Callable[[dict[str, Any]], int], batches: Iterable[dict[str, Any]], device: torch.device) -> float:
    """Images a second."""
    start = now(device)
    count = sum(step(batch) for batch in batches)
    return count / (now(device) - start)


def training(parser: ConfigParser, rounds: int) -> dict[str, Any]:
    """Images a second with the loader (an epoch a round) and without it (as many steps on one batch), in turn."""
    loader: DataLoader = parser.get_parsed_content("train::dataloader")
    device, step = parser.get_parsed_content("device"), training_step(parser)
    fixed = next(iter(loader))
    fixed["image"] = fixed["image"].to(device)
    step(fixed)
    fed, bare = [], []
    for _ in tqdm(range(rounds), desc="training", unit="epoch"):
        fed.append(rate(step, loader, device))
        bare.append(rate(step, [fixed] * len(loader), device))
    return {
        "steps_a_round": len(loader),
        "images_a_step": len(fixed["image"]),
        "image_shape": list(fixed["image"].shape[1:]),
        "rounds": rounds,
        "num_workers": loader.num_workers,
        "images_per_second_with_loader": spread(fed, 1),
        "images_per_second_bare": spread(bare, 1),
        "ratio": spread([a / b for a, b in zip(fed, bare, strict=True)], 3),
    }


def written(data: dict[Any, Any]) -> dict[Any, Any]:
    """Wait until the maps of a subject, which are written behind, are on the disk."""
    for future in data["written"]:
        future.result()
    return data


class Chain:
    """The parts of inference.json, one subject at a time."""

    def __init__(self, parser: ConfigParser) -> None:
        before = parser.get_parsed_content("preprocessing").transforms
        after = parser.get_parsed_content("postprocessing").transforms
        self.net, self.inferer, self.device, self.amp = (
            parser.get_parsed_content(key) for key in ("network", "inferer", "device", "amp")
        )
        self.net.eval()
        self.stages = {
            "read": [t for t in before if isinstance(t, LoadScand)],
            "preprocess": [t for t in before if not isinstance(t, LoadScand)],
            "network": [self.network],
            "postprocess": [t for t in after if not isinstance(t, SaveBehindd)],
            "write": [*(t for t in after if isinstance(t, SaveBehindd)), written],
        }

    @torch.no_grad()
    def network(self, data: dict[Any, Any]) -> dict[Any, Any]:
        """Logits and maps of one preprocessed subject, back on the CPU."""
        image = data["image"].as_tensor()[None].to(self.device)
        with torch.autocast(self.device.type, enabled=self.amp):
            out = self.inferer(image, self.net)
        return {**data, "pred": {key: value[0].cpu() for key, value in out.items()}}

    def run(self, item: dict[str, Any], parts: Sequence[str] = PARTS) -> tuple[dict[Any, Any], dict[str, float]]:
        """One subject through the named parts: what comes out, and the seconds of each part."""
        data: dict[Any, Any] = dict(item)
        took = {}
        for part in parts:
            start = now(self.device)
            for transform in self.stages[part]:
                data = transform(data)
            took[part] = now(self.device) - start
        return data, took


def inference(parser: ConfigParser, rounds: int) -> dict[str, Any]:
    """Seconds a subject of the whole evaluator and of the network alone, in turn; then part by part."""
    chain = Chain(parser)
    evaluator, items = parser.get_parsed_content("evaluator"), parser.get_parsed_content("dataset").data
    prepared = [chain.run(item, PARTS[:2])[0] for item in tqdm(items, desc="preprocess", unit="subject")]
    chain.network(prepared[0])
    whole, alone = [], []
    for _ in tqdm(range(rounds), desc="inference", unit="round"):
        start = now(chain.device)
        evaluator.run()
        whole.append((now(chain.device) - start) / len(items))
        start = now(chain.device)
        for data in prepared:
            chain.network(data)
        alone.append((now(chain.device) - start) / len(items))
    took = [chain.run(item)[1] for item in tqdm(items, desc="parts", unit="subject")]
    return {
        "subjects": len(items),
        "rounds": rounds,
        "num_workers": evaluator.data_loader.num_workers,
        "seconds_per_subject": spread(whole),
        "seconds_per_subject_network": spread(alone),
        "ratio": spread([a / b for a, b in zip(whole, alone, strict=True)], 3),
        "parts_seconds_per_subject": {part: spread([t[part] for t in took]) for part in PARTS},
    }


def measure(cohort: Path, folder: Path, subjects: int, rounds: int, overrides: dict[str, Any]) -> dict[str, Any]:
    """Training and inference on the first subjects of the cohort's training split; outputs go to a folder."""
    weights = overrides.pop("weights", BUNDLE / "models" / "model.pt")
    train = workflow(
        "train",
        cohort,
        folder / "train",
        {"train::dataset::data": f"$@manifest.items('training', slices=True)[:{subjects}]", **overrides},
    )
    chosen = {"split": "training", "dataset::data": f"$@found[0][:{subjects}]", "checkpoint": weights and str(weights)}
    infer = workflow("inference", cohort, folder / "inference", {**chosen, **overrides})
    made = {"training": training(train, rounds)}
    load_weights(infer.get_parsed_content("network_def"), weights)
    made["inference"] = inference(infer, rounds)
    return made


def main(
    cohort: Annotated[Path, typer.Option(help="Folder of a cohort's manifest.json.")],
    subjects: Annotated[int, typer.Option(help="How many subjects are read.")] = 40,
    rounds: Annotated[int, typer.Option(help="Epochs of training; passes over the subjects.")] = 3,
    threads: Annotated[int, typer.Option(help="Threads of torch on the CPU.")] = 1,
    seed: Annotated[int, typer.Option(help="Of weights and augmentation.")] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON; default benchmarks/results/throughput_DEVICE.json.")] = None,
) -> None:
    """Measure, print the ratios, write the JSON."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        made = measure(cohort, Path(folder), subjects, rounds, {})
    typer.echo(f"training, with loader / bare: {made['training']['ratio']['median']}")
    typer.echo(f"inference, whole chain / network: {made['inference']['ratio']['median']}")
    record = {"benchmark": "throughput", "device": device, **environment(seed)}
    write_json(output or RESULTS / f"throughput_{device}.json", {**record, "settings": {"clock": "wall time"}, **made})


if __name__ == "__main__":
    typer.run(main)
