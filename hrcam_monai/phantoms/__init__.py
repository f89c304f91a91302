"""Simulated tasks: one module each, which puts its own into `TASKS`. To add one, write a module; it is found here."""

from importlib import import_module
from pkgutil import iter_modules

from hrcam_monai.phantoms.task import TASKS, SimulatedSubject, Task

__all__ = ["TASKS", "SimulatedSubject", "Task"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
