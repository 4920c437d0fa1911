# Two commands on a fresh machine: `make run` and `make test`. Everything else is for those who work on the code.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SUITE  ?= quick
STUDY  ?= study
# numerical libraries take one thread per process; the harness starts several processes
export OMP_NUM_THREADS ?= 1

.PHONY: pictures run study test test-slow test-paper check benchmark benchmark-cohort docs install install-test clean help

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

run: install  ## install, run the suite SUITE (quick) and leave an HTML report
	$(BIN)/harness run-all --suite $(SUITE)

study: install  ## run the suite STUDY (study; hours, resumable) and keep its tables in docs/results
	$(BIN)/harness run-all --suite $(STUDY) --output runs/$(STUDY)
	$(BIN)/harness report runs/$(STUDY) --keep docs/results/$(STUDY)

test: install-test  ## install with the test extra and run the tests
	$(BIN)/python -m pytest

test-slow: install-test  ## the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not gpu and not kaolin"

test-paper: install-test  ## the suite `paper` with its networks and sizes on a small cohort (minutes, 8 GB)
	$(BIN)/python -m pytest -m slow tests/test_paper_suite.py

check: install-test  ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: install-test  ## speed and memory, each against a reference side measured in the same run
	$(BIN)/python -m pytest benchmarks -m "" --benchmark-only --benchmark-columns=min,mean,median,rounds

benchmark-cohort: install-test  ## seconds for a cohort of 2,000 subjects on two cores, killed and resumed too
	$(BIN)/python -m pytest benchmarks/bench_build.py -m "" --benchmark-only --benchmark-columns=min

pictures: install  ## draw the pictures of the documentation anew, after a change of the analyser
	$(BIN)/python scripts/draw_analysed_scan.py

docs: $(BIN)/activate  ## build the documentation site
	$(BIN)/pip install --quiet -e ".[docs]"
	$(BIN)/mkdocs build --strict

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

$(BIN)/activate:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "harness needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make run PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/activate pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: $(BIN)/activate pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@ $(VENV)/.installed

clean:  ## remove the virtual environment and caches (not runs, not the cohort cache)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
