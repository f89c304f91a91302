from __future__ import annotations

import logging

import torch
from ignite.engine import Engine, Events

from hrcam_monai.handlers.console import EpochLines, evaluation_table
from hrcam_monai.handlers.evaluation import LOCALIZATION, evaluation_summary
from hrcam_monai.utils.classes import Classes


def test_a_line_an_epoch_with_loss_and_validation_auc(caplog):
    caplog.set_level(logging.INFO)
    validator = Engine(lambda engine, batch: None)
    trainer = Engine(lambda engine, loss: [{"loss": torch.tensor(loss)}])
    aucs = iter([0.75, 0.5])

    @validator.on(Events.COMPLETED)
    def score(engine):
        engine.state.metrics = {"val_auc": next(aucs), "val_loss": 0.25}

    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=2), lambda _: validator.run([0]))
    EpochLines("class maps", validator).attach(trainer)
    trainer.run([1.0, 2.0], max_epochs=4)
    assert [r.getMessage() for r in caplog.records if r.name == "hrcam_monai.handlers.console"] == [
        "class maps, epoch 1 of 4: loss 1.5000",
        "class maps, epoch 2 of 4: loss 1.5000; validation AUC 0.750, loss 0.2500 (best AUC 0.750, epoch 2)",
        "class maps, epoch 3 of 4: loss 1.5000",
        "class maps, epoch 4 of 4: loss 1.5000; validation AUC 0.500, loss 0.2500 (best AUC 0.750, epoch 2)",
    ]


def rows(people, scans=1):
    empty = dict.fromkeys(LOCALIZATION, "")
    made = []
    for i in range(people):
        p = 0.1 + 0.8 * (i % 2)
        made += [{"subject": f"s{i}", "label": i % 2, "group": "", "probability_a": 1 - p, "probability_b": p, **empty}] * scans
    return made


def test_the_table_has_n_and_intervals_and_cautions_where_people_are_few():
    text = evaluation_table(evaluation_summary(rows(30, scans=2), Classes(("a", "b"))))
    assert "| AUC | 30 | 1.000 [1.000, 1.000] |" in text
    assert "| sensitivity | 30 | 1.000 [1.000, 1.000] |" in text
    assert "pixel AP" not in text
    assert text.endswith(
        "Caution: 15 subject(s) of class 'a', 15 subject(s) of class 'b'. So few say little about others; see the intervals."
    )
    assert "Caution" not in evaluation_table(evaluation_summary(rows(40), Classes(("a", "b"))))
