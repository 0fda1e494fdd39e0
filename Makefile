# Two commands are enough on a machine with Python 3.11 or later: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SCAN   ?=
OUT    ?= output

.PHONY: demo test studies check format benchmark gpu mutants reliability clean

demo: $(VENV)/.core
ifeq ($(SCAN),)
	$(BIN)/varinv demo --out $(OUT)
else
	mkdir -p $(OUT)
	$(BIN)/varinv reconstruct "$(SCAN)" -o $(OUT)/reconstruction.h5
endif

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto

# the tests that reproduce figures of papers and pages, many seconds each
studies: $(VENV)/.test
	$(BIN)/python -m pytest -n auto -m study

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# beside the packages one would pick instead, in environments of their own (gigabytes); QUICK=1: the small sizes, once
benchmark:
	$(PYTHON) benchmarks/side_by_side/install.py $(VENV)-benchmark
	cd benchmarks && ../$(VENV)-benchmark/main/bin/python -m side_by_side $(if $(QUICK),--quick)

# needs a CUDA device and CuPy: pip install ".[cuda13]" (or cuda12); without one it says so and measures nothing
gpu: $(VENV)/.test
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python -m pytest -m gpu tests
	$(BIN)/python benchmarks/gpu_projectors.py

# faults planted in the solvers: minutes
mutants: $(VENV)/.test
	$(BIN)/python tests/mutants/run.py

# random problems, injected faults, bad calls, kills …: the scoreboard of docs/reliability.md, minutes
reliability: $(VENV)/.test
	$(BIN)/python benchmarks/reliability.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "varinv needs Python 3.11 or later, $(PYTHON) is $$($(PYTHON) -V); call make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@ $(VENV)/.test $(VENV)/.core

clean:
	rm -rf $(VENV) $(VENV)-benchmark $(OUT) .pytest_cache .mypy_cache .ruff_cache
