# `make demo` and `make test` need Python 3.11 or newer and make only; the rest comes from the package registry.
PYTHON ?= $(firstword $(shell for python in python3.11 python3.12 python3.13 python3 python; do command -v $$python; done))
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast test-clusters check format clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed  ## the weight-decay study on the embedded digits, under 8 minutes on 2 cores, and its report
	$(BIN)/python sweeps/weight_decay.py --auto-resume --name demo
	$(BIN)/python -m analysis report results/demo --out report.html
	@echo "Open report.html in a browser: xdg-open report.html (Linux), open report.html (macOS)"

test: $(VENV)/.installed  ## the whole test suite, in two processes with a Ray cluster each
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/.installed  ## the tests that do not start Ray
	$(BIN)/python -m pytest -m "not ray"

test-clusters: $(VENV)/.installed  ## Ray by SSH and a Slurm on hosts of their own, as root, in a quarter of an hour
	MEMOSWEEP_CLUSTER_TESTS=1 $(BIN)/python -m pytest tests/cluster

check: $(VENV)/.installed  ## lint, format, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(or $(PYTHON),python): expected Python 3.11 or newer; name one: make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
