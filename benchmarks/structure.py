"""How the package is drawn: rooms, arrows between them, cycles, loose modules, and names without an underscore.

python benchmarks/structure.py                              # this tree
git worktree add /tmp/before 6ee6bac && python benchmarks/structure.py --before /tmp/before
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated

import typer
from common import ROOT, table


def imported(file: Path) -> set[str]:
    """The rooms and loose modules of ours that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    named = [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    named += [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    return {name.split(".")[1] for name in named if name.startswith("hrcam_monai.")}


def public_names(file: Path) -> list[str]:
    """Functions and classes of a module without an underscore."""
    defined = [n.name for n in ast.parse(file.read_text()).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return [name for name in defined if not name.startswith("_")]


def listed_names(file: Path) -> list[str] | None:
    """What `__all__` of a module lists; None where it has none."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def structure(tree: Path) -> dict[str, int]:
    """The numbers of one tree of the package."""
    package = tree / "hrcam_monai"
    needs: dict[str, set[str]] = {}
    files = sorted(package.rglob("*.py"))
    for file in files:
        room = file.relative_to(package).parts[0].removesuffix(".py")
        if room != "__init__":
            needs.setdefault(room, set()).update(imported(file) - {room})
    try:
        order = {room: i for i, room in enumerate(TopologicalSorter(needs).static_order())}
        cycles = 0
    except CycleError:
        order, cycles = {}, 1
    modules = [file for file in files if file.name not in ("__init__.py", "__main__.py")]
    faces = [names for file in files if file.name == "__init__.py" and (names := listed_names(file))]
    return {
        "rooms": sum((package / room).is_dir() for room in needs),
        "loose modules, `__init__` and `__main__` aside": sum(file.parent == package for file in modules),
        "modules": len(modules),
        "arrows between rooms": sum(len(own) for own in needs.values()),
        "cycles": cycles,
        "upward imports": sum(order[other] > order[room] for room, own in needs.items() for other in own) if order else cycles,
        "functions and classes without an underscore": sum(len(public_names(file)) for file in files),
        "of them the face: what rooms and the package list in `__init__`": len({name for names in faces for name in names}),
        "modules without `__all__`": sum(listed_names(file) is None for file in modules),
    }


def main(before: Annotated[Path | None, typer.Option(help="Another tree, for a column beside this one's.")] = None) -> None:
    """Print the table."""
    columns = {**({"before": structure(before)} if before else {}), "now": structure(ROOT)}
    rows = [[name, *[str(column[name]) for column in columns.values()]] for name in columns["now"]]
    typer.echo(table(["", *columns], rows))


if __name__ == "__main__":
    typer.run(main)
