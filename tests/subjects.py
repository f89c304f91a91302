"""An engine and decollated subjects, for the handlers that write tables."""

from __future__ import annotations

import torch
from ignite.engine import Engine

CLASSES = ["normal", "abnormal"]


def engine_with():
    """An engine that puts out each row it is run on as a decollated subject; an empty row is a subject that failed."""

    def step(engine, row):
        engine.state.batch = [{}] if row else []
        return [row] if row else []

    return Engine(step)


def row(name, p, label=0, **more):
    probability = torch.tensor([1 - p, p])
    return {
        "subject": name,
        "file": f"{name}.nii",
        "predicted": int(p > 0.5),
        "probabilities": probability,
        "logits": probability.log(),
        "label": label,
        **more,
    }
