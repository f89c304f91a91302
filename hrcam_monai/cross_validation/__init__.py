"""Cross-validation by subject: folds, their runs, baselines on the same folds, and what comes out of all."""
