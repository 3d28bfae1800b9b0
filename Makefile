.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# The launchers are left out: what they need would hold back the versions of all others.
LOCKED := docs dashboard refine export explain pretrained tune hf dev

.PHONY: help setup train towns test test-all gpu lint docs package format architectures models datasets metrics reference \
	results lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: .venv/dev  ## create .venv with all dependencies, including those of the tests

# uv installs torch and torchvision as a matching pair from the registry, at the versions of the lock file.
INSTALL = $(BIN)/uv pip install --python $(BIN)/python --constraint requirements.lock --editable

.venv/ready: pyproject.toml requirements.lock
	@echo "1 of 2: creating .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "2 of 2: installing PyTorch and the other dependencies (downloads 3 GB the first time)"
	@$(INSTALL) .
	@touch $@

.venv/dev: .venv/ready
	@echo "installing the dependencies of the tests"
	@$(INSTALL) ".[dev]"
	@touch $@

train: .venv/ready  ## set up, then train a model on the built-in data; ARGS="model=unet seed=1"
	$(BIN)/python -m segbench.train -cn quickstart $(ARGS)

TOWNS := town_a town_b
CORRUPTIONS := [gaussian_noise,motion_blur,fog,brightness,jpeg_compression]
towns: .venv/ready  ## two models, three seeds, two data sets, five corruptions: reports and a paper in 20 minutes
	@$(INSTALL) ".[robustness]"
	for town in $(TOWNS); do $(BIN)/python -m segbench.train -cn $$town $(ARGS) || exit 1; done
	for town in $(TOWNS); do for run in runs/$$town/*/seed*; do \
		$(BIN)/python -m segbench.evaluate ckpt=$$run/checkpoints/last.ckpt study=$${town}_corrupted \
			'corruptions=$(CORRUPTIONS)' 'severities=[3]' > /dev/null || exit 1; \
		echo "scored on corrupted images: $$run"; done; done
	for town in $(TOWNS); do $(BIN)/python -m segbench.compare study=$${town}_corrupted || exit 1; done
	$(BIN)/python -m segbench.compare 'studies=[town_a_corrupted,town_b_corrupted]'
	$(BIN)/python -m segbench.paper 'studies=[town_a_corrupted,town_b_corrupted]' 'metrics=[mIoU_C5,ECE]'

test: setup  ## set up, then run all tests not marked slow, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto $(ARGS)

test-all: setup  ## run all tests, including the slow ones
	$(BIN)/python -m pytest $(ARGS)

gpu: setup  ## use a GPU for minutes: checks, speed, a study; ARGS="--root PATH", --dry starts nothing
	$(BIN)/python -m tools.gpu $(ARGS)

lint: setup  ## run ruff, mypy and codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell -D - -D .codespell-words

docs: setup  ## build the site into site/, offline, and check its links; open site/index.html
	$(BIN)/python -m mkdocs build --strict

package: setup  ## build the wheel and the sdist into dist/ and check them
	rm -rf dist
	$(BIN)/python -m build --no-isolation > /dev/null
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

format: setup  ## format the sources with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

architectures: setup  ## draw every model of conf/model into docs/architectures
	$(BIN)/python -m segbench.explain architecture model=all output=docs/architectures

models: setup  ## write docs/models.md; ARGS=--measure counts the cost of all models first
	$(BIN)/python -m tools.models_page $(ARGS)

datasets: setup  ## write docs/datasets.md from conf/data
	$(BIN)/python tools/datasets_page.py

# Without their dependencies, which would change the versions of ours.
PROGRAMS := ultralytics mmsegmentation mmengine-lite mmcv-lite==2.1.0 addict yapf termcolor terminaltables \
	prettytable ftfy
metrics: setup  ## install other programs into .venv/programs and write docs/metrics.md with their scores
	$(BIN)/uv pip install --quiet --no-deps --target .venv/programs $(PROGRAMS)
	PYTHONPATH=.venv/programs:. $(BIN)/python -m tools.metrics_page

reference: setup  ## write docs/config.md from schema, conf/ and docstrings
	$(BIN)/python -m tools.config_page

results: setup  ## update all result tables from experiments/results; ARGS=runs/NAME publishes a study
	$(BIN)/python tools/publish.py $(ARGS)

lock: setup  ## regenerate requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet pyproject.toml $(LOCKED:%=--extra %) --python-version 3.11 --universal \
		--no-header --no-annotate --no-emit-index-url --upgrade --output-file requirements.lock

clean:  ## remove .venv and caches, but keep runs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
