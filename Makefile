# `make help` lists the targets. Everything runs in a virtual environment of its own, .venv.

PYTHON ?= python3
VENV ?= .venv
WORK ?= work
BIN := $(VENV)/bin
RUN := $(BIN)/python -W ignore -m monai.bundle run --bundle_root $(CURDIR)/bundle
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z_-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# torch first and pinned: an unpinned torch pulls gigabytes of CUDA libraries
$(STAMP): setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[test]
	touch $@

.PHONY: install
install: $(STAMP) ## Install the package and what it needs into .venv

.PHONY: demo
demo: $(STAMP) ## Simulate a few heads (one oblique), find their lesions with the shipped weights, write a report
	$(BIN)/python -m hrcam_monai simulate --output $(WORK)/demo/cohort --subjects 6 --seed 2024 --split 0 0 1 --oblique 1
	$(RUN) --config_file bundle/configs/inference.json --dataset_dir $(WORK)/demo/cohort --output_dir $(WORK)/demo/output

.PHONY: cohort
cohort: $(STAMP) ## Make the simulated cohort that the shipped weights were trained on (600 heads, 4 minutes)
	$(BIN)/python -m hrcam_monai simulate --output $(WORK)/cohort --subjects 600 --seed 0

.PHONY: train
train: cohort ## Train as the shipped weights were trained, into work/train; RESUME=True goes on after an interruption
	$(RUN) --config_file bundle/configs/train.json --dataset_dir $(WORK)/cohort --output_dir $(WORK)/train --resume $(or $(RESUME),False)

.PHONY: localization
localization: cohort ## The table of docs/results.md: HR-CAM beside Grad-CAM on the simulated test split (10 minutes)
	$(BIN)/python benchmarks/localization.py --cohort $(WORK)/cohort --output $(WORK)/localization.json

.PHONY: figure
figure: $(STAMP) ## The README's picture: HR-CAM beside Grad-CAM on new heads
	$(BIN)/python -m hrcam_monai simulate --output $(WORK)/figure --subjects 8 --seed 99 --split 0 0 1
	$(BIN)/python benchmarks/localization.py --cohort $(WORK)/figure --figure docs/figures/comparison.png

.PHONY: test
test: $(STAMP) lint ## Run every check: ruff, mypy, unit tests, bundle runs
	$(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: lint
lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: clean
clean: ## Remove what the targets made, the environment too
	rm -rf $(WORK) $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
