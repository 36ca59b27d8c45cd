# Every target sets up .venv itself; the stamp .venv/.ready says that it is complete.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Two files at a time, one thread each: threads of two processes on two cores wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test test-all check fix

demo: .venv/.ready  ## the whole line on the embedded lab
	$(BIN)/acclimate demo

test: .venv/.ready  ## everything but the slow tests
	$(PYTEST) -m "not slow"

test-all: .venv/.ready  ## the slow tests too
	$(PYTEST)

check: .venv/.ready  ## in the order that is cheapest to fail
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

fix: .venv/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say where it is: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setting up .venv (about two minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) $(TORCH)
	@$(PIP) --constraint constraints.txt --editable '.[dev,openai,lm-eval]'
	@touch $@
