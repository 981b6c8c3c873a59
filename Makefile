# Everything that a newcomer types. Each target sets up what it needs in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
SECONDS ?= 600
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak fuzz check lint types bench bench-quick clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(READY)  ## .venv with everything, pinned by constraints.txt

$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV): 1.7 GB, a minute or two on an idle machine"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: setup  ## sweep threshold x strength on real digits, beside its fair control, and compare (2 minutes on two idle cores)
	$(BIN)/semisup train -m experiment=threshold_by_strength hydra/launcher=cores
	$(BIN)/semisup compare outputs/threshold_by_strength

test: setup  ## all tests
	$(BIN)/python -m pytest

soak: setup  ## kill runs at every point there is, in 200 crash loops, a sweep of 1,000 jobs in seven ways, every method with every policy (30 minutes)
	$(BIN)/python -m tests.kill "$$(mktemp -d)/soak" --soak 200
	SEMISUP_SOAK=1 $(BIN)/python -m pytest tests/test_contracts.py tests/training/test_loop.py tests/images/test_cache.py
	SEMISUP_SWEEP_JOBS=1000 $(BIN)/python -m pytest -n 0 -s tests/sweep/test_sweep.py -k accounted

fuzz: setup  ## mutate images for SECONDS=600; what fails is kept, and replayed by the tests
	$(BIN)/python -m tests.images.fuzz --seconds $(SECONDS)

lint: setup  ## format and lint, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup  ## mypy, strict
	$(BIN)/mypy

check: lint types test  ## what CI runs

bench: setup  ## what this program costs, as ratios to what it cannot do without (half an hour on idle cores)
	$(BIN)/python -m bench

bench-quick: setup  ## the same with smaller sizes, for a look (4 minutes)
	$(BIN)/python -m bench --quick

clean:  ## remove .venv and caches; outputs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist
