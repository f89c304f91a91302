"""Write docs/real_tumours.md's tables from benchmarks/results/tumours. Every number in them comes from those files.

python benchmarks/tumours_table.py
python benchmarks/tumours_table.py --peers-only   # those of other networks, and of none, alone
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from common import RESULTS, ROOT, fill, table
from tumour_scores import EDGES, FITTED, OURS, RIVAL, UNMOVED
from tumours import CLASSES


class Step(NamedTuple):
    """A step of the recipe: what it is, its results' names, its map, and which of their two networks classifies."""

    what: str
    suffix: str
    method: str
    network: str = "network"


STEPS = {
    "glioma_flair": (
        Step("StageCNN, 96 x 96, plain: LayerCAM's mean, through flips", "_small_cnn", RIVAL + UNMOVED, "plain"),
        Step("HR-CAM taught by image labels alone, through flips", "_without_seeds", OURS + UNMOVED),
        Step("HR-CAM taught by the plain CNN's LayerCAM, through flips", "_small_cnn", OURS + UNMOVED),
        Step("the same, along edges", "_small_cnn", OURS),
        Step("EfficientNet-Lite0 of ImageNet, 128 x 128, plain: LayerCAM's mean, and scales", "", RIVAL + UNMOVED, "plain"),
        Step("HR-CAM taught by it, through flips and scales", "", OURS + UNMOVED),
        Step("the same, along edges: what the overlay does", "", OURS),
    ),
    "brain_tumor_t1ce": (
        Step("StageCNN on 96 x 96: LayerCAM's mean of the plain one, read as ours", "_small_cnn", RIVAL, "plain"),
        Step("HR-CAM taught by its LayerCAM", "_without_novelty", OURS),
        Step("the same, weighted by novelty of grey values", "_grey_novelty", OURS),
        Step("by novelty of features too, and by agreement", "_small_cnn", OURS),
        Step("EfficientNet-Lite0 of ImageNet, 128 x 128, plain: LayerCAM's mean, through flips", "_one_scale", RIVAL, "plain"),
        Step("HR-CAM taught by it in two rounds, through flips", "_one_scale", OURS),
        Step("the same, read across scales too", "", OURS + UNMOVED),
        Step("the same, along edges (two steps): what ships", "", OURS),
    ),
}
SMALL = Step("StageCNN, one round (in the table of steps)", "_small_cnn", OURS)
OPTIONS = {  # what was measured beside it, each on networks of its own
    "brain_tumor_t1ce": (
        Step("taught by image labels alone: `--seeds 0`", "_without_seeds", OURS),
        Step("a second round: `--seed_rounds 2 --epochs 14`", "_two_rounds", OURS),
    ),
}
PAGE = ROOT / "docs" / "real_tumours.md"
NO_FINE = f"{OURS}, without the two finest levels"
ALIKE = ", read as HR-CAM"
ONE_OF = re.compile(r"(level|exit) \d|max fusion")  # maps of one level among several, and of TorchCAM's poorest fusion
SHOWN = ("pixel_ap", "median_best_dice", "median_fixed_dice", "pointing", "energy")
SITE = "[A-Z]+"  # what was held out, where it is a hospital
MEANS = ("pixel AP", "median Dice, best", "median Dice, fixed", "pointing", "macro F1")
Result = Mapping[str, Any]


def results_of(name: str, folder: Path, held: str = r"\d") -> list[Result]:
    """The results of the shipped recipe, by seed and what was held out (a pattern: folds); variants have other names."""
    found = [p for p in sorted(folder.glob(f"{name}_*.json")) if re.fullmatch(rf"{name}_{held}_\d+", p.stem)]
    return [json.loads(p.read_text()) for p in found]


def spelled(done: Sequence[tuple[int, int]]) -> str:
    """The folds and seeds of networks, in few words: folds with the same seeds together.

    Example:
        >>> spelled([(0, 0), (0, 1), (1, 0), (1, 1)])
        'folds 0, 1, each with seeds 0, 1'
        >>> spelled([(0, 0), (0, 1), (1, 0)])
        'fold 0 with seeds 0, 1; fold 1 with seed 0'
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for fold in sorted({fold for fold, _ in done}):
        alike.setdefault(tuple(sorted(seed for own, seed in done if own == fold)), []).append(fold)
    return "; ".join(
        f"{_listed('fold', folds)}{', each' * (len(folds) > 1)} with {_listed('seed', seeds)}" for seeds, folds in alike.items()
    )


def _listed(what: str, numbers: Sequence[int]) -> str:
    return f"{what}{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean over networks, and the lowest and highest."""
    low, mean, high = min(values), float(np.mean(values)), max(values)
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def column(results: Sequence[Result], method: str, key: str) -> list[float]:
    """A measure of one map, a number a network."""
    return [r["maps"][method][key] for r in results]


def peers(results: Sequence[Result], alike: bool) -> list[str]:
    """Names of the other maps of the plain CNN: as they come, or read as ours, through flips, and along edges where ours are."""
    named = [m for m in results[0]["maps"] if m.startswith(("MONAI", "TorchCAM"))]
    return [m for m in named if (ALIKE in m) == alike and not m.endswith((EDGES, UNMOVED))]


def best(results: Sequence[Result], methods: Sequence[str], key: str = "pixel_ap") -> list[float]:
    """In each network the highest of these maps: chosen with the masks of the people held out, in the peers' favour."""
    return [max(r["maps"][m][key] for m in methods) for r in results]


def ratio(top: Sequence[float], bottom: Sequence[float]) -> list[float]:
    """One divided by the other, network by network."""
    return [a / b for a, b in zip(top, bottom, strict=True)]


def apart_of(name: str, folder: Path) -> tuple[str, list[Result]]:
    """The results of sites that were held out whole, and of which network where the shipped one was not yet trained so."""
    own = results_of(name, folder, held=SITE)
    return ("", own) if own else (", StageCNN", results_of(f"{name}_small_cnn", folder, held=SITE))


def targets(name: str, results: Sequence[Result], apart: Sequence[Result] = (), whose: str = "") -> list[list[str]]:
    """The lines of the targets table: what, target, found; of folds, and of sites that were held out whole, of what network."""
    two = len(CLASSES[name]) == 2
    ap = column(results, OURS, "pixel_ap")
    levels = [m for m in results[0]["maps"] if m.startswith(f"{OURS}, level")]
    plain, own = ([r[k] for r in results] for k in ("plain", "network"))
    lines: list[tuple[str, str, list[float], Callable[[float], bool]]] = [
        ("AUC", ">= .97", [r["auc"] for r in own], lambda v: v >= 0.97)
        if two
        else ("macro F1", ">= .93", [r["macro_f1"] for r in own], lambda v: v >= 0.93),
        (
            "macro F1 less the plain CNN's",
            ">= -.01",
            [a["macro_f1"] - b["macro_f1"] for a, b in zip(own, plain, strict=True)],
            lambda v: v >= -0.01,
        ),
        (
            "median Dice, best threshold",
            ">= .78" if two else ">= .55",
            column(results, OURS, "median_best_dice"),
            lambda v: v >= (0.78 if two else 0.55),
        ),
        (
            "median Dice, threshold fixed on validation people",
            ">= .68" if two else ">= .45",
            column(results, OURS, "median_fixed_dice"),
            lambda v: v >= (0.68 if two else 0.45),
        ),
        (
            "pixel AP, ours / best other map of the plain CNN",
            ">= 1.8",
            ratio(ap, best(results, peers(results, False))),
            lambda v: v >= 1.8,
        ),
        (
            "pixel AP, ours / best other map, read as ours",
            ">= 1.15",
            ratio(ap, best(results, peers(results, True))),
            lambda v: v >= 1.15,
        ),
        (
            "pixel AP, ours / LayerCAM's mean, neither along edges",
            ">= 1.15",
            ratio(*(column([r for r in results if OURS + UNMOVED in r["maps"]], m + UNMOVED, "pixel_ap") for m in (OURS, RIVAL))),
            lambda v: v >= 1.15,
        ),
        (
            "pixel AP, ours / mean mask of the class",
            ">= 3" if two else ">= 1.5",
            ratio(ap, column(results, "mean mask of the class", "pixel_ap")),
            lambda v: v >= (3 if two else 1.5),
        ),
        ("pointing", ">= .95" if two else ">= .75", column(results, OURS, "pointing"), lambda v: v >= (0.95 if two else 0.75)),
        ("AP of the sum / of its best level", ">= 1", ratio(ap, best(results, levels)), lambda v: v >= 1),
        (
            "AP of the sum / without the two finest levels",
            "> 1",
            ratio(ap, column(results, NO_FINE, "pixel_ap")),
            lambda v: v > 1,
        ),
        (
            "fit_head on the plain CNN / LayerCAM's mean on the same weights, read alike",
            ">= 1",
            ratio(*(column([r for r in results if FITTED in r["maps"]], m, "pixel_ap") for m in (FITTED, RIVAL))),
            lambda v: v >= 1,
        ),
        (
            "correlation with maps of randomised weights",
            "< .2",
            [r["sanity"]["randomised"] for r in results if "sanity" in r],
            lambda v: abs(v) < 0.2,
        ),
    ]
    if two:
        whole = [r["network"]["auc"] for r in apart]
        lines.insert(1, (f"AUC, each site held out whole{whose}", ">= .93", whole, lambda v: v >= 0.93))
        wrong = [r["false_peaks"]["a_slice"] for r in results if r.get("false_peaks")]
        lines.append(("false peaks on slices without a tumour, a slice", "<= .1", wrong, lambda v: v <= 0.1))
    rows = []
    for what, target, values, met in lines:
        if values:
            of = "" if len(values) == len(results) else f" ({len(values)} networks)"
            rows.append([what + of, target, spread(values), "yes" if met(float(np.mean(values))) else "no"])
    return rows


def maps(name: str, results: Sequence[Result]) -> list[list[str]]:
    """A line a map."""
    labels = range(len(CLASSES[name])) if len(CLASSES[name]) > 2 else []
    rows = []
    for method in dict.fromkeys(m for r in results for m in r["maps"]):
        having = [r for r in results if method in r["maps"]]
        row = [method, *(spread(column(having, method, key)) for key in SHOWN)]
        rows.append(row + [f"{np.mean(column(having, method, f'pixel_ap_class_{i}')):.3f}" for i in labels])
    return rows


def groups(results: Sequence[Result]) -> list[list[str]]:
    """A line a group of slices (view or site) and third of tumour size: our map, and beside the best of the others."""
    rows = []
    for part in dict.fromkeys(p for r in results for p in r.get("by", {})):
        of = [r["by"][part] for r in results if part in r.get("by", {})]
        slices = [o["slices"] for o in of]
        mean, ratio_ = (float(np.average([o[key] for o in of], weights=slices)) for key in ("pixel_ap", "ratio"))
        low, high = min(o["pixel_ap_ci95"][0] for o in of), max(o["pixel_ap_ci95"][1] for o in of)
        once = {r["fold"]: r["by"][part] for r in results if part in r.get("by", {})}.values()  # seeds share their people
        counts = [str(sum(o[key] for o in once)) for key in ("slices", "people")]
        rows.append([part, *counts, f"{mean:.3f}", f"{low:.3f} to {high:.3f}", f"{ratio_:.2f}"])
    return rows


def means(results: Sequence[Result], method: str, network: str) -> list[str]:
    """Of a map and a network the means that `MEANS` names, over results."""
    f1 = float(np.mean([r[network]["macro_f1"] for r in results]))
    return [*(f"{np.mean(column(results, method, key)):.3f}" for key in SHOWN[:-1]), f"{f1:.3f}"]


def steps(name: str, folder: Path, led: Sequence[Step]) -> list[list[str]]:
    """A line a step, on the folds that all of them have: means over networks."""
    found = [(step, {(r["fold"], r["seed"]): r for r in results_of(name + step.suffix, folder)}) for step in led]
    found = [(step, own) for step, own in found if any(step.method in r["maps"] for r in own.values())]
    common = sorted(set.intersection(*(set(own) for _, own in found))) if found else []
    if len(found) < 2 or not common:
        return []
    rows = [[step.what, *means([own[key] for key in common], step.method, step.network)] for step, own in found]
    return [*rows, [f"of {spelled(common)}", *[""] * 5]]


def seeds(name: str, folder: Path) -> list[list[str]]:
    """A line a seed, on the folds that all of them have: means over networks."""
    found: dict[int, dict[int, Result]] = {}
    for result in results_of(name, folder):
        found.setdefault(result["seed"], {})[result["fold"]] = result
    common = sorted(set.intersection(*(set(own) for own in found.values()))) if len(found) > 1 else []
    if not common:
        return []
    rows = [[str(seed), *means([own[fold] for fold in common], OURS, "network")] for seed, own in sorted(found.items())]
    return [*rows, [f"over {_listed('fold', common)}", *[""] * 5]]


def sites(results: Sequence[Result]) -> list[list[str]]:
    """A line a hospital whose people were all held out: how they were classified, and what our map and the others find."""
    rows = []
    for result in results:
        of = result["maps"][OURS]
        row = [result["site"], str(result["seed"]), f"{result['network']['auc']:.3f}", f"{result['network']['macro_f1']:.3f}"]
        row += [f"{of[key]:.3f}" for key in SHOWN[:-1]]
        rival = max(peers([result], True), key=lambda m: result["maps"][m]["pixel_ap"])
        rows.append([*row, f"{of['pixel_ap'] / result['maps'][rival]['pixel_ap']:.2f} ({rival.removesuffix(ALIKE)})"])
    return rows


def networks_of(name: str, folder: Path) -> dict[str, list[Result]]:
    """The results of other networks, by the network's name."""
    found: dict[str, list[Result]] = {}
    for path in sorted(folder.glob(f"{name}_*_*_*.json")):
        result = json.loads(path.read_text())
        found.setdefault(result["peer"], []).append(result)
    return found


def shown_maps(results: Sequence[Result]) -> dict[str, str]:
    """The maps of a network that are shown, and how: of those of single levels the best, chosen with the masks."""
    named = list(results[0]["maps"])
    levels = [m for m in named if ONE_OF.search(m) and EDGES not in m]
    shown = {m: m for m in named if m not in levels}
    if levels:
        best_level = max(levels, key=lambda m: float(np.mean(column(results, m, "pixel_ap"))))
        shown[best_level] = f"{best_level} (the best, chosen with the masks)"
    return shown


def networks(name: str, folder: Path) -> str:
    """Our maps and those of other networks on the same folds and seeds, a line a map."""
    found = networks_of(name, folder / "peers")
    if not found:
        return "Not measured yet.\n"
    done = sorted({(r["fold"], r["seed"]) for of in found.values() for r in of})
    own = [r for r in results_of(name, folder) if (r["fold"], r["seed"]) in done]
    key = "auc" if len(CLASSES[name]) == 2 else "macro_f1"
    rows = []
    if own:
        parts = {m: m for m in (OURS + UNMOVED, OURS, OURS + EDGES) if m in own[0]["maps"]}
        rows += network_rows("HR-CAM (ours)", own, parts, key, len(done))
    for of in sorted(found.values(), key=lambda of: -float(np.mean(column(of, of[0]["method"], "pixel_ap")))):
        title = f"**{of[0]['title']}**" if of[0]["reads_masks"] else of[0]["title"]
        rows += network_rows(title, of, shown_maps(of), key, len(done))
    head = ["network", "AUC" if key == "auc" else "macro F1", "parameters", "epochs", "minutes", "map", "pixel AP"]
    head += ["median Dice, best", "median Dice, fixed", "pointing", "energy inside"]
    commits = ", ".join(sorted({r["commit"] for of in found.values() for r in of}))
    return f"{spelled(done)}; commits of the other networks {commits}.\n\n" + table(head, rows)


def network_rows(title: str, results: Sequence[Result], named: Mapping[str, str], key: str, whole: int) -> list[list[str]]:
    """A line a map; what is the network's own stands in the first."""
    of = "" if len(results) == whole else f" ({len(results)} of {whole} folds)"
    parameters = f"{results[0]['parameters'] / 1e6:.2f} M" if "parameters" in results[0] else ""
    epochs = " + ".join(str(n) for n in results[0].get("epochs", []))
    minutes = f"{np.mean([r['processor_minutes'] for r in results]):.0f}" if "processor_minutes" in results[0] else ""
    first = [title + of, f"{np.mean([r['network'][key] for r in results]):.3f}", parameters, epochs, minutes]
    rows = []
    for method, shown in named.items():
        rows.append([*(first if not rows else [""] * len(first)), shown])
        rows[-1] += [f"{np.mean(column(results, method, measure)):.3f}" for measure in SHOWN]
    return rows


def without_image(folder: Path) -> str:
    """How well the classes are told by what is known without the image: means over folds."""
    path = folder / "without_image.json"
    if not path.is_file():
        return "Not measured yet.\n"
    rows = []
    for name, known in json.loads(path.read_text())["folds"].items():
        for what, of in known.items():
            auc = spread([f["auc"] for f in of]) if "auc" in of[0] else ""
            rows.append([name, what, auc, spread([f["macro_f1"] for f in of])])
    return table(["set", "known", "AUC", "macro F1"], rows)


def section(name: str, folder: Path) -> str:
    """Tables of one set."""
    results = results_of(name, folder)
    if not results:
        return "Not measured yet.\n"
    first = results[0]
    machines = sorted({f"{r['machine']['cpu']}, {r['machine']['threads']} thread" for r in results})
    versions = ", ".join(f"{k} {v}" for k, v in first["versions"].items())
    done = spelled([(r["fold"], r["seed"]) for r in results])
    minutes = [r["minutes"] for r in results]
    head = ["map", "pixel AP", "median Dice, best", "median Dice, fixed", "pointing", "energy inside"]
    head += [f"AP {c}" for c in CLASSES[name]] if len(CLASSES[name]) > 2 else []
    text = f"{len(results)} networks ({done}); mean over networks [lowest, highest]. {'; '.join(machines)}; "
    text += f"{versions}; commits {', '.join(sorted({r['commit'] for r in results}))}; minutes of the last training run "
    text += f"{min(minutes):.0f} to {max(minutes):.0f}.\n\n"
    whose, apart = apart_of(name, folder)
    text += table(["what", "target", "found", "met"], targets(name, results, apart, whose))
    text += "\n" + table(head, maps(name, results))
    if by := groups(results):
        head = ["slices with a tumour", "slices", "people", "pixel AP", "95 % intervals of the folds", "ours / LayerCAM's mean"]
        text += "\n" + table(head, by)
    if led := steps(name, folder, STEPS[name]):
        text += "\n" + table(["step", *MEANS], led)
    if drawn := seeds(name, folder):
        text += "\n" + table(["seed", *MEANS], drawn)
    if beside := [row for option in OPTIONS.get(name, ()) for row in steps(name, folder, (SMALL, option))]:
        text += "\n" + table(["option", *MEANS], beside)
    if held := sites(apart):
        head = [f"site held out{whose}", "seed", "AUC", "macro F1", *MEANS[:-1], "AP, ours / best other map, read as ours"]
        text += "\n" + table(head, held)
    return text


def main(
    page: Annotated[Path, typer.Option(help="Markdown file with the marks.")] = PAGE,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS / "tumours",
    peers_only: Annotated[bool, typer.Option("--peers-only", help="Leave the other tables as they are.")] = False,
) -> None:
    """Fill in the tables between their marks."""
    for name in CLASSES:
        if not peers_only:
            fill(page, name, section(name, results))
        fill(page, f"other networks, {name}", networks(name, results))
    fill(page, "without an image", without_image(results))
    typer.echo(f"page: {page}")


if __name__ == "__main__":
    typer.run(main)
