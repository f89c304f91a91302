from __future__ import annotations

import pytest
from mlflow import MlflowClient

from tests.bundle.runs import TINY, run


def metrics(folder):
    client = MlflowClient(f"sqlite:///{folder / 'mlruns.db'}")
    [experiment] = [e for e in client.search_experiments() if e.name == "heads"]
    [one] = client.search_runs([experiment.experiment_id])
    return one.data.metrics


@pytest.mark.slow
def test_mlflow_follows_training_and_evaluation_and_stays_in_the_output_folder(cohort, tmp_path):
    tracking = {"tracking": "mlflow", "experiment_name": "heads"}
    quick = {"base_epochs": 0, "epochs": 1, "val_interval": 1, "slices_per_subject": 2}
    done = run("train", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", **TINY, **quick, **tracking)
    assert done.returncode == 0, done.stderr
    assert {"train_loss", "val_auc", "val_loss"} <= set(metrics(tmp_path / "out"))

    weights = tmp_path / "out" / "model.pt"
    done = run("evaluate", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "eval", checkpoint=weights, **TINY, **tracking)
    assert done.returncode == 0, done.stderr
    found = metrics(tmp_path / "eval")
    assert {"accuracy", "sensitivity", "specificity", "pixel_ap", "energy"} <= set(found)
    assert found["subjects"] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["eval", "out"]
