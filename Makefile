# `make demo` and `make test` need Python >= 3.10 with its headers and a C compiler; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 4
DEMO := run --algo reptile --dataset espeak --preset smoke

# Worker processes and parallel tests share the cores. With more than one thread each, all become many times slower.
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1

.DELETE_ON_ERROR:
.PHONY: help demo test lint types unit clean

help:
	@echo "make demo   install into $(VENV), then train, adapt, speak and score on the embedded synthetic voices"
	@echo "make test   install into $(VENV) if necessary, then lint, check types and run the tests"
	@echo "make clean  remove $(VENV) and build leftovers (runs/ and caches stay)"

demo: $(VENV)/installed
	$(BIN)/python -m benchmark $(DEMO)
	@echo "For one page with everything, audio included: $(BIN)/python -m benchmark report"

test: lint types unit

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .

types: $(VENV)/installed-dev lint
	$(BIN)/mypy

unit: $(VENV)/installed-dev types
	$(BIN)/python -m pytest -q -n auto --maxprocesses $(JOBS) --durations 30 --durations-min 5

# Each stamp is written last, so an interrupted installation is completed by the next call.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "error: $(PYTHON) is older than Python 3.10; try make PYTHON=python3.12, for example." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV): about 5 GB with PyTorch; this takes minutes."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(VENV)/installed | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
