"""Simulated tasks: one module each, with a `TASK`. To add one, write a module and list it here."""

from hrcam_monai.phantoms import abnormalities, neuromelanin, tumours
from hrcam_monai.phantoms.task import SimulatedSubject, Task

TASKS: dict[str, Task] = {
    "abnormalities": abnormalities.TASK,
    "varied_abnormalities": abnormalities.VARIED,
    "ependymoma_gbm": tumours.TASK,
    "parkinson_nm": neuromelanin.TASK,
}

__all__ = ["TASKS", "SimulatedSubject", "Task"]
