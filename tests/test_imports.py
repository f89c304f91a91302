"""The house: each module can be the first that is imported, rooms import downwards alone, and names of old stay known."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

PACKAGE = Path(__file__).parents[1] / "hrcam_monai"
CODE = """
import importlib, pkgutil, sys
import hrcam_monai
names = [m.name for m in pkgutil.walk_packages(hrcam_monai.__path__, "hrcam_monai.") if not m.name.endswith("__main__")]
failed = []
for name in names:
    for known in [k for k in sys.modules if k.split(".")[0] == "hrcam_monai"]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f"{name}: {error}")
print(len(names), *failed, sep="\\n")
"""


def test_every_module_can_come_first():
    """Configs name modules in any order."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, *failed = done.stdout.split("\n")[:-1]
    assert int(count) > 80
    assert not failed


def imports_of(file: Path) -> set[str]:
    """The modules of ours that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    named = [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    named += [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    return {name for name in named if name.startswith("hrcam_monai.")}


def test_rooms_import_each_other_in_one_direction():
    """Rooms are the folders and the loose modules at the top; `hrcam_monai` itself only shows what is public."""
    needs: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            needs.setdefault(room, set()).update({name.split(".")[1] for name in imports_of(file)} - {room})
    order = list(TopologicalSorter(needs).static_order())  # CycleError: a room that imports one above it
    assert order[-1] == "__main__"
    assert needs["utils"] == needs["networks"] == set()


def test_few_modules_lie_loose():
    assert sorted(p.stem for p in PACKAGE.glob("*.py")) == [
        "__init__",
        "__main__",
        *("figures", "inferers", "losses", "visualize", "weights"),
    ]


def test_every_module_lists_what_others_may_use():
    """What begins with an underscore is a module's own; no name is listed that is not there."""
    for file in sorted(PACKAGE.rglob("*.py")):
        names = [
            n for n in ast.parse(file.read_text()).body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
        ]
        listed = list(ast.literal_eval(names[0].value)) if names else []
        assert names or file.name in ("__init__.py", "__main__.py"), f"{file}: has no __all__"
        assert not [name for name in listed if name.startswith("_") and name != "__version__"], file
    for module in [m for m in sys.modules if m.startswith("hrcam_monai.")]:
        assert not [name for name in getattr(sys.modules[module], "__all__", ()) if not hasattr(sys.modules[module], name)], (
            module
        )


def test_the_face_is_one_that_can_be_learnt():
    """What the package and its rooms list in their `__init__`."""
    face = set()
    for file in PACKAGE.rglob("__init__.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                face |= set(ast.literal_eval(node.value))
    assert {"HRCAM", "HRCAMNet", "explain", "fit_head"} <= face
    assert len(face) < 120


OF_OLD = (
    "command_line.begin",
    "distributed.local_device",
    "engines.run_stage",
    "evaluation.EvaluationWriter",
    "handlers.HRCAMHandler",
    "model_settings.load_model",
    "monai_label.ClassOfMaskd",
    "predictions.PredictionWriter",
    "regions.CropAboutd",
    "resampling.FitInPlaned",
    "resuming.SeededEpochs",
    "saving.SaveBehindd",
    "transforms.LoadScand",
    "weights.load_weights",
)


@pytest.mark.parametrize("name", OF_OLD)
def test_a_published_config_finds_what_it_names(name):
    parser = ConfigParser({"made": {"_target_": f"hrcam_monai.{name}", "_mode_": "callable"}})
    assert parser.get_parsed_content("made").__name__ == name.split(".")[1]
