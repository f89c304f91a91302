# `make help` lists the targets. Everything runs in a virtual environment of its own, .venv.

PYTHON ?= python3
VENV ?= .venv
WORK ?= work
BIN := $(VENV)/bin
RUN := $(BIN)/python -W ignore -m monai.bundle run --bundle_root $(CURDIR)/bundle
STAMP := $(VENV)/.installed
# `$(STAGE) NAME COMMAND` runs a command and tells how long it took
STAGE := bash -c 'SECONDS=0; "$$@"; status=$$?; echo "stage $$0: $$((SECONDS / 60)) min $$((SECONDS % 60)) s"; exit $$status'

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@for file in $(MAKEFILE_LIST); do echo "$$file"; \
		grep -hE '^[a-z_-]+:.*##' $$file | sed -E 's/^([^:]*):.*## /  \1\t/' | expand -t 26; done

# torch first and pinned: an unpinned torch pulls gigabytes of CUDA libraries
$(STAMP): setup.cfg constraints.txt
	@$(STAGE) install $(MAKE) --no-print-directory packages
	touch $@

.PHONY: packages
packages:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[test]

.PHONY: install
install: $(STAMP) ## Install the package and what it needs into .venv

.PHONY: demo
demo: $(STAMP) ## Tell twelve real brain tumours apart and show where, with the shipped weights; write a report
	$(RUN) --config_file "['bundle/configs/inference.json','bundle/configs/pictures.json','bundle/configs/tasks/brain_tumor_t1ce.json']" \
		--dataset_dir examples/brain_tumours --output_dir $(WORK)/demo/output

.PHONY: demo-heads
demo-heads: $(STAMP) ## Simulate a few heads (one oblique), find their lesions with the shipped weights, write a report
	$(BIN)/python -m hrcam_monai simulate --output $(WORK)/demo/cohort --subjects 6 --seed 2024 --split 0 0 1 --oblique 1
	$(RUN) --config_file bundle/configs/inference.json --dataset_dir $(WORK)/demo/cohort --output_dir $(WORK)/demo/heads

.PHONY: cohort
cohort: $(STAMP) ## Make the simulated cohort that the shipped weights were trained on (600 heads, 4 minutes)
	$(BIN)/python -m hrcam_monai simulate --output $(WORK)/cohort --subjects 600 --seed 0

.PHONY: train
train: cohort ## Train as the shipped weights were trained, into work/train; RESUME=True goes on after an interruption
	$(RUN) --config_file bundle/configs/train.json --dataset_dir $(WORK)/cohort --output_dir $(WORK)/train --resume $(or $(RESUME),False)

# what the numbers of docs/ are made by
include benchmarks/evidence.mk

.PHONY: test
test: $(STAMP) ## ruff, mypy and the tests that take seconds each; minutes of each stage are told
	@$(STAGE) lint $(MAKE) --no-print-directory lint
	@$(STAGE) tests $(BIN)/python -m pytest -n 2 --dist loadfile --durations=10 -m "not slow"

.PHONY: test-all
test-all: $(STAMP) ## Every check, those that take minutes too, with coverage
	@$(STAGE) lint $(MAKE) --no-print-directory lint
	@COVERAGE_FILE=$(CURDIR)/.coverage $(STAGE) tests $(BIN)/python -m pytest -n 2 --dist loadfile --durations=40 --cov

# MONAI Label brings 8 GB of packages, and its DICOM SEG package needs pydicom 2: an environment of its own
LABEL := $(VENV)-monailabel

$(LABEL)/.installed:
	test -x $(LABEL)/bin/python || $(PYTHON) -m venv $(LABEL)
	$(LABEL)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(LABEL)/bin/python -m pip install --quiet --disable-pip-version-check monailabel==0.8.5
	$(LABEL)/bin/python -m pip install --quiet --disable-pip-version-check pydicom==2.4.4 dicomweb-client==0.59.3 pynetdicom==2.1.1
	touch $@

.PHONY: monailabel
monailabel: $(STAMP) $(LABEL)/.installed ## Serve the packaged bundle with the real MONAI Label server, and check what it answers (8 GB)
	HRCAM_MONAILABEL=$(LABEL) $(BIN)/python -m pytest -v tests/test_monai_label_server.py

.PHONY: docs
docs: $(STAMP) ## The documents as a site, into work/site; a link that leads nowhere fails
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[docs]
	$(BIN)/python -m sphinx -W --keep-going -q -c docs . $(WORK)/site

.PHONY: api
api: $(STAMP) ## The API reference, from the docstrings, into work/api
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[docs]
	$(BIN)/python -W ignore -m pdoc --docformat google -o $(WORK)/api hrcam_monai

.PHONY: lint
lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: clean
clean: ## Remove what the targets made, the environment too
	rm -rf $(WORK) $(VENV) $(LABEL) build dist *.egg-info .coverage* .pytest_cache .mypy_cache .ruff_cache
