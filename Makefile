# Everything that a new user or contributor types. Each target installs what it needs into .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
SECONDS ?= 600
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.ready-run
DEV_READY := $(VENV)/.ready-dev
NEXT := .venv-next
NEXT_READY := $(NEXT)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup docs demo test test-next reliability soak fuzz check lint types bench bench-quick clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(DEV_READY)  ## install everything for development into .venv, pinned by constraints.txt

$(VENV)/bin/python:
	@echo "setting up $(VENV): 1.7 GB, one or two minutes on an idle machine"
	$(PYTHON) -m venv $(VENV)

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

$(RUN_READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[parallel]"
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[dev]"
	@touch $(RUN_READY) $@

demo: $(RUN_READY)  ## sweep threshold x strength on real digits, confirm the best cell on fresh seeds, compare (4 minutes on two idle cores)
	$(BIN)/semisup train -m experiment=threshold_by_strength hydra/launcher=cores
	$(BIN)/semisup confirm outputs/threshold_by_strength hydra/launcher=cores

test: setup  ## run all tests; writes only to outputs/
	$(BIN)/python -m pytest

$(NEXT_READY): constraints-next.txt $(DEV_READY)  # a layer over .venv with a few other packages
	rm -rf $(NEXT)
	$(BIN)/python -m venv --without-pip $(NEXT)
	packages=$$(cd $(NEXT)/lib/python*/site-packages && pwd) && \
	    echo "import site; site.addsitedir('$(abspath $(VENV))/lib/$$(ls $(NEXT)/lib)/site-packages')" > "$$packages/base.pth"
	$(BIN)/python -m pip --python $(NEXT)/bin/python install --quiet --disable-pip-version-check --no-deps \
	    --requirement constraints-next.txt --editable .
	@touch $@

test-next: $(NEXT_READY)  ## run all tests with the next Hydra and OmegaConf (constraints-next.txt)
	$(NEXT)/bin/python -m pytest

reliability: setup  ## run all tests and write their counts into docs/internals/reliability.md
	SEMISUP_WRITE_RELIABILITY=1 $(BIN)/python -m pytest

soak: setup  ## long tests: kills at every write, 200 crash loops, a sweep of 1,000 jobs, every method with every policy (30 minutes)
	$(BIN)/python -m tests.kill "$$(mktemp -d)/soak" --soak 200
	SEMISUP_SOAK=1 $(BIN)/python -m pytest tests/test_contracts.py tests/training/test_loop.py tests/images/test_cache.py
	SEMISUP_SOAK=1 $(BIN)/python -m pytest tests/cli/test_interruptions.py tests/runner/test_finish.py \
	    tests/record/test_two_writers.py tests/runtime/test_secrets.py tests/analysis
	SEMISUP_SOAK=1 $(BIN)/python -m pytest -n 0 tests/sweep/test_ray.py
	SEMISUP_SOAK=1 SEMISUP_SWEEP_JOBS=1000 $(BIN)/python -m pytest -n 0 -s tests/sweep/test_sweep.py -k "accounted or signal"

fuzz: setup  ## mutate images for SECONDS=600; failing files are kept and replayed by the tests
	$(BIN)/python -m tests.images.fuzz --seconds $(SECONDS)

lint: setup  ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup  ## check types (mypy, strict)
	$(BIN)/mypy

docs: setup  ## build the documentation as a site in site/; a broken link or a setting without a sentence fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

check: lint  ## what CI runs; types and documentation are checked beside the tests
	@$(MAKE) --no-print-directory --jobs=2 test types docs

bench: setup  ## benchmarks, as ratios to the bare computation (half an hour on idle cores)
	$(BIN)/python -m benchmarks

bench-quick: setup  ## the same with smaller sizes (4 minutes)
	$(BIN)/python -m benchmarks --quick

clean:  ## remove .venv and caches; outputs/ is kept
	rm -rf $(VENV) $(NEXT) .pytest_cache .mypy_cache .ruff_cache dist site
