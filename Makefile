# make book   derive and check everything, build the book to book/_build/html
# make test   run the tests
# Both make the environment .venv from requirements.lock first, once.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
WORKERS ?= 2
MINUTES ?= 60
SEED ?= 1

.PHONY: help book test test-slow soak lint mutants bench env lock clean

help:
	@echo "make book       derive, check and build the book: book/_build/html/index.html"
	@echo "make test       run the tests"
	@echo "make test-slow  run the tests that the default run leaves out"
	@echo "make lint       ruff and mypy"
	@echo "make soak       the invariants on random parameters and laws, MINUTES=60 SEED=1; writes a record"
	@echo "make mutants    plant errors in steps, rules and definitions; how many are caught"
	@echo "make mutants-tenth  the same with a tenth of the steps' errors, drawn by a seed"
	@echo "make bench      speed against peers, and import time"
	@echo "make lock       resolve requirements.lock anew"
	@echo "make clean      remove what was built (the environment stays)"

book: $(STAMP)
	$(BIN)/jupyter-book build -W -n --keep-going book
	$(BIN)/python book/check_offline.py book/_build/html

test: $(STAMP)
	$(BIN)/pytest -n $(WORKERS)

test-slow: $(STAMP)
	$(BIN)/pytest -n $(WORKERS) -m "slow and not gpu"

lint: $(STAMP)
	@status=0; for linter in "ruff check ." mypy; do \
	  echo "$$linter"; $(BIN)/$$linter || status=1; \
	done; exit $$status

soak: $(STAMP)
	$(BIN)/python tests/invariants/soak.py --minutes $(MINUTES) --seed $(SEED)

mutants: $(STAMP)
	$(BIN)/derive check --mutate --jobs $(WORKERS) --output book/records/mutations.json

mutants-tenth: $(STAMP)
	$(BIN)/derive check --mutate --share 0.1 --jobs $(WORKERS)

bench: $(STAMP)
	@set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script; done

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null 2>&1 \
	  || { echo "missing: python3 >= 3.11 (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "missing: python3 >= 3.11 ($(PYTHON) is $$($(PYTHON) --version 2>&1); choose another with PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "missing: the venv module of $(PYTHON) (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check
	@touch $@

lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --upgrade setuptools wheel
	build/lock/bin/python -m pip install --quiet --no-build-isolation ".[book,jax,test]"
	{ sed -n '/^#/p' requirements.lock; \
	  build/lock/bin/python -m pip freeze --all | grep -v -E '^(derive|pip)( |=)'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock
	rm -rf build/lock

clean:
	rm -rf book/_build build .pytest_cache .mypy_cache .ruff_cache .hypothesis
